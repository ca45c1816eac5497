//! Saved states of the K-FAC optimizer that were damaged: a typed error, or a state that the next step takes or refuses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::{prelude::*, tensor::Bytes};
use burn_curvature::{
    Error, KfacOptimizer, KfacOptimizerConfig, Likelihood, Objective, Reduction,
    errors::{KfacError, OptimizerError, SavedStateError, VectorError},
    kfac::KfacState,
    optim::KfacOptimizerState,
};

use crate::{
    classifier::{Classifier, Samples, cross_entropy, samples},
    failure::failure,
    random::SplitMix64,
};

const TARGET: Likelihood = Likelihood::Categorical;

/// After two steps.
struct Run {
    model: Classifier,
    batch: Samples,
    objective: Objective,
    config: KfacOptimizerConfig,
    state: KfacOptimizerState,
}

impl Run {
    fn new() -> Self {
        let device = Device::default().autodiff();
        let (model, batch) = (Classifier::new(1, &device), samples(12, 101, &device));
        let objective = Objective::capture(&model, batch.clone(), cross_entropy).unwrap();
        let objective = objective.in_f64().unwrap().reduced_by(Reduction::Mean).unwrap();
        let config = KfacOptimizerConfig::new().with_damping(0.5).with_weight_decay(1e-3);
        let mut optimizer: KfacOptimizer = config.init(&objective, TARGET).unwrap();
        let (model, _) = optimizer.step(&model, batch.clone()).unwrap();
        let (model, _) = optimizer.step(&model, batch.clone()).unwrap();
        let state = optimizer.state().unwrap();
        Self { model, batch, objective, config, state }
    }

    /// Goes on from a state: whether it was taken, and a panic as a failure of the test.
    fn goes_on(
        &self,
        what: &str,
        state: impl FnOnce() -> Result<KfacOptimizerState, Error>,
    ) -> bool {
        let run = || -> Result<usize, Error> {
            let mut resumed = self.config.resume(&self.objective, TARGET, &state()?)?;
            Ok(resumed.step(&self.model, self.batch.clone())?.1.step)
        };
        let found = catch_unwind(AssertUnwindSafe(run));
        let found = found.unwrap_or_else(|_| panic!("a panic: {what}"));
        let typed = |error: &Error| {
            error.downcast_ref::<SavedStateError>().is_some()
                || error.downcast_ref::<OptimizerError>().is_some()
                || error.downcast_ref::<KfacError>().is_some()
                || error.downcast_ref::<VectorError>().is_some()
        };
        assert!(found.as_ref().map_or_else(typed, |_| true), "{what}: {found:?}");
        found.is_ok()
    }
}

#[test]
fn damaged_files_do_no_harm() {
    let run = Run::new();
    let bytes = run.state.to_bytes().unwrap().to_vec();
    let mut numbers = SplitMix64::new(3);
    let mut refused = 0;
    for round in 0..150 {
        let mut damaged = bytes.clone();
        let at = numbers.below(bytes.len());
        if round % 5 == 0 {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 1 << numbers.below(8);
        }
        let read = || KfacOptimizerState::from_bytes(Bytes::from_bytes_vec(damaged.clone()));
        refused += usize::from(!run.goes_on(&format!("round {round}, byte {at}"), read));
    }
    assert!(refused >= 30, "{refused}"); // those that are cut off at least
    // The head of a file, bit by bit: lengths and kinds.
    for at in 0..bytes.len().min(600) {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let damaged = || Bytes::from_bytes_vec(damaged.clone());
            let read = || {
                let whole = KfacOptimizerState::from_bytes(damaged()).is_ok();
                (whole, KfacState::from_bytes(damaged()).is_ok())
            };
            let found = catch_unwind(read).unwrap_or_else(|_| panic!("bit {bit} of byte {at}"));
            assert!(!found.1, "a state of another kind");
        }
    }
}

#[test]
fn impossible_states_are_refused() {
    let run = Run::new();
    let good = serde_json::to_value(&run.state).unwrap();
    let changed = |place: &str, to: serde_json::Value| {
        let mut bad = good.clone();
        assert!(bad.pointer(place).is_some(), "{place}");
        *bad.pointer_mut(place).unwrap() = to;
        move || Ok(serde_json::from_value::<KfacOptimizerState>(bad).unwrap())
    };
    for place in ["/damping", "/gamma"] {
        for number in ["0.0", "-1.0", "NaN", "inf"] {
            let story = format!("{place} {number}");
            assert!(!run.goes_on(&story, changed(place, number.into())), "{story}");
        }
    }
    let count = run.objective.layout().len();
    for previous in [vec!["NaN"; count], vec!["-inf"; count], vec!["0.5"; count - 1], vec![]] {
        let state = changed("/previous", previous.join(" ").into())().unwrap();
        let found = run.config.resume(&run.objective, TARGET, &state).map(drop);
        let refused = failure::<_, OptimizerError>(&found);
        assert!(matches!(refused, Some(OptimizerError::State { .. })), "{previous:?}: {found:?}");
    }
    // Counters at their end stay there.
    let last: serde_json::Value = u64::MAX.into();
    assert!(run.goes_on("the last step", changed("/step", last.clone())));
    assert!(run.goes_on("the last update", changed("/updates", vec![last.clone(), last].into())));
    assert!(run.goes_on("as it was", || Ok(run.state.clone())));
}
