//! States that are saved and loaded: a resumed run equals an uninterrupted one, digit for digit.

use burn::{
    module::Module,
    nn,
    tensor::{Device, Distribution, Tensor},
};
use burn_curvature::{
    CaptureConfig, KfacConfig, KfacOptimizer, KfacOptimizerConfig, Likelihood, Objective,
    Precision, Reduction,
    errors::{KfacError, OptimizerError},
    kfac::{KfacFisher, UncoveredPolicy},
    optim::{KfacInverse, KfacOptimizerState},
};

use super::{TARGET, exact_config, optimizer, parameters, problem};
use crate::{B, without_draws};

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

#[derive(Module, Debug)]
struct Scaled {
    linear: nn::Linear,
    norm: nn::LayerNorm,
}

/// A diagonal and a matrix have no average: γ's block by one policy and by another, and G = I.
#[test]
fn factors_of_another_form_are_refused() {
    let device = Device::flex().autodiff();
    let model = Scaled {
        linear: nn::LinearConfig::new(3, 4).init(&device),
        norm: nn::LayerNormConfig::new(4).init(&device),
    };
    let x = Tensor::<2>::random([6, 3], Distribution::Normal(0.0, 1.0), &device);
    let likelihood = Likelihood::Gaussian { variance: 1.0 };
    let loss = |model: &Scaled, x: Tensor<2>| {
        let z = model.norm.forward(model.linear.forward(x));
        (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
    };
    let objective = Objective::<B>::capture_with(&CaptureConfig::new(), &model, x.clone(), loss);
    let objective = objective.unwrap().reduced_by(Reduction::Sum).unwrap();
    let exact = without_draws().with_uncovered(UncoveredPolicy::ExactBlock { limit: 9 });
    let diagonal = exact.with_uncovered(UncoveredPolicy::Diagonal { probes: 2, seed: 1 });
    let forward = exact.with_fisher(KfacFisher::ForwardOnly);
    for (saved, other, parameter) in [
        (exact, diagonal, "norm.gamma"),
        (diagonal, exact, "norm.gamma"),
        (forward, exact, "linear.weight"),
    ] {
        let [saved, other] = [saved, other].map(|kfac| exact_config().with_kfac(kfac));
        let mut whole = saved.init(&objective, likelihood).unwrap();
        whole.step(&model, x.clone()).unwrap();
        let state = whole.state().unwrap();
        assert!(saved.resume(&objective, likelihood, &state).is_ok());
        let error = other.resume(&objective, likelihood, &state).unwrap_err();
        let expected = KfacError::Configuration { parameter: parameter.into() };
        assert_eq!(error.downcast_ref(), Some(&expected), "{error}");
    }
}
