//! States that are saved and loaded: a resumed run equals an uninterrupted one, digit for digit.

use burn::tensor::Device;
use burn_curvature::{
    KfacConfig, KfacOptimizer, KfacOptimizerConfig, Precision,
    errors::{KfacError, OptimizerError},
    kfac::KfacFisher,
    optim::{KfacInverse, KfacOptimizerState},
};

use super::{TARGET, exact_config, optimizer, parameters, problem};
use crate::B;

/// Through text.
fn saved_and_loaded(optimizer: &KfacOptimizer<B>) -> KfacOptimizerState {
    let state = optimizer.state().unwrap();
    let text = serde_json::to_string(&state).unwrap();
    let loaded = serde_json::from_str(&text).unwrap();
    assert_eq!(state, loaded);
    loaded
}

pub fn configurations() -> [KfacOptimizerConfig; 5] {
    let drawn = |seed| KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 2, seed });
    // Drawn: three classes take two passes.
    let cheap = KfacFisher::ExactWhereCheap { passes: 1, draws: 2, seed: 6 };
    let cheap = KfacConfig::new().with_fisher(cheap);
    [
        exact_config().with_search_period(Some(6)).with_inverse_period(4),
        exact_config().with_kfac(drawn(3)).with_inverse_period(5),
        exact_config().with_kfac(cheap),
        KfacOptimizerConfig::stochastic(0.1).with_kfac(drawn(4)),
        KfacOptimizerConfig::stochastic(0.1)
            .with_kfac(drawn(5))
            .with_inverse(KfacInverse::EigenvalueCorrected)
            .with_inverse_period(7),
    ]
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let device = Device::flex().autodiff();
    for precision in [Precision::F32, Precision::F64] {
        for config in configurations() {
            let (mut model, batch, objective) = problem::<B>(1, &device);
            let objective = objective.in_precision(precision).unwrap();
            let mut whole = optimizer(&config, &objective);
            for _ in 0..5 {
                (model, _) = whole.step(&model, batch.clone()).unwrap();
            }
            let state = saved_and_loaded(&whole);
            assert_eq!(state.step(), 5);
            let mut resumed = config.resume(&objective, TARGET, &state).unwrap();
            let mut other = model.clone();
            for _ in 0..8 {
                let (one, two);
                (model, one) = whole.step(&model, batch.clone()).unwrap();
                (other, two) = resumed.step(&other, batch.clone()).unwrap();
                assert_eq!(one, two);
                assert_eq!(parameters(&model), parameters(&other));
            }
        }
    }
}

/// A state before the first step resumes as a new optimizer.
#[test]
fn a_fresh_state_resumes() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(1, &device);
    let mut fresh = optimizer(&exact_config(), &objective);
    let state = saved_and_loaded(&fresh);
    let mut resumed = exact_config().resume(&objective, TARGET, &state).unwrap();
    let (_, one) = fresh.step(&model, batch.clone()).unwrap();
    let (_, two) = resumed.step(&model, batch).unwrap();
    assert_eq!(one, two);
}

#[test]
fn states_that_do_not_fit_are_refused() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(1, &device);
    let mut whole = optimizer(&exact_config(), &objective);
    whole.step(&model, batch).unwrap();
    let state = serde_json::to_value(whole.state().unwrap()).unwrap();
    let resume = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut changed = state.clone();
        change(&mut changed);
        let state = serde_json::from_value(changed).unwrap();
        exact_config().resume(&objective, TARGET, &state)
    };
    assert!(resume(&|_| ()).is_ok());
    // λ is part of the state: that of another configuration would be taken over.
    let state_of_it: KfacOptimizerState = serde_json::from_value(state.clone()).unwrap();
    for other in [
        exact_config().with_damping(0.7),
        KfacOptimizerConfig::stochastic(0.1).with_kfac(exact_config().kfac).with_damping(0.5),
    ] {
        let error = other.resume(&objective, TARGET, &state_of_it).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(OptimizerError::State { .. })), "{error}");
    }
    let error = resume(&|state| state["damping"] = "0.0".into()).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(OptimizerError::State { .. })), "{error}");
    let error = resume(&|state| state["gamma"] = "-1.0".into()).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(OptimizerError::State { .. })), "{error}");
    let error = resume(&|state| state["previous"] = "1.0 2.0".into()).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(OptimizerError::State { .. })), "{error}");
    let error = resume(&|state| {
        state["average"]["blocks"].as_array_mut().unwrap().pop();
    })
    .unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&KfacError::State));
}
