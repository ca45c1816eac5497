//! Eigendecompositions beside the steps, and the choice where factored inverses are computed.

use burn::tensor::Device;
use burn_curvature::{
    Kfac, KfacOptimizerConfig, LinearOperator, Precision,
    errors::ConfigError,
    kfac::KfacInversion,
    optim::{KfacInverse, StepRule},
};

use super::{TARGET, optimizer, parameters, problem};
use crate::{B, without_draws};

const RATE: f64 = 0.2;

fn config(kind: KfacInverse) -> KfacOptimizerConfig {
    KfacOptimizerConfig::stochastic(RATE)
        .with_kfac(without_draws())
        .with_damping(0.1)
        .with_rule(StepRule::LearningRate { rate: RATE, momentum: 0.0, limit: None })
        .with_inverse(kind)
        .with_background(true)
}

/// Step 1 waits, step 2 begins a decomposition of the factors of steps 1 and 2 and goes on with the old one, step 3 takes
/// it over: by hand.
#[test]
fn a_decomposition_that_is_waited_for_is_that_of_the_step_that_began_it() {
    let device = Device::flex().autodiff();
    let (mut model, batch, objective) = problem::<B>(2, &device);
    let mut optimizer = optimizer(&config(KfacInverse::Exact), &objective);
    let (mut factors, mut at): (Vec<Kfac<B>>, _) = (Vec::new(), objective.clone());
    for (step, source) in [(1, 0), (2, 0), (3, 1)] {
        factors.push(without_draws().init(&at, TARGET).unwrap());
        let used = match source {
            0 => factors[0].clone(),
            _ => {
                let [old, new] = [0, 1].map(|index| factors[index].state().unwrap());
                Kfac::from_state(&objective, &old.averaged(&new, 0.5).unwrap()).unwrap()
            }
        };
        let inverse = used.inverse(0.1).unwrap();
        let delta = inverse.apply(&at.gradient().unwrap()).unwrap().scale(-RATE);
        let end = at.parameters().clone().axpy(1.0, &delta).unwrap();
        let report;
        (model, report) = optimizer.step(&model, batch.clone()).unwrap();
        assert_eq!((report.step, report.inverted), (step, step != 2));
        for (found, expected) in parameters(&model).iter().zip(end.to_vec().unwrap()) {
            assert!((found - expected).abs() < 2e-6, "step {step}: {found} for {expected}");
        }
        at = objective.at_model(&model).unwrap();
        optimizer.wait().unwrap();
    }
}

/// Steps of a new optimizer, each waited for: the values, and the parameters at the end.
fn run(config: &KfacOptimizerConfig, steps: usize) -> (Vec<f64>, Vec<f64>) {
    let device = Device::flex().autodiff();
    let (mut model, batch, objective) = problem::<B>(2, &device);
    let mut optimizer = optimizer(config, &objective);
    let mut values = Vec::new();
    for _ in 0..steps {
        let step;
        (model, step) = optimizer.step(&model, batch.clone()).unwrap();
        optimizer.wait().unwrap();
        values.push(step.value);
    }
    (values, parameters(&model))
}

#[test]
fn runs_that_wait_are_equal_and_lower_the_loss() {
    for kind in [KfacInverse::Exact, KfacInverse::EigenvalueCorrected] {
        let config = config(kind).with_inverse_period(3);
        let [one, two] = [(); 2].map(|()| run(&config, 20));
        assert_eq!(one, two);
        assert!(one.0[19] < 0.7 * one.0[0], "{kind:?}: {:?}", one.0);
    }
}

/// Whatever the threads do, every step is a step with one of the inverses so far.
#[test]
fn runs_that_do_not_wait_lower_the_loss() {
    let device = Device::flex().autodiff();
    let (mut model, batch, objective) = problem::<B>(2, &device);
    let mut optimizer = optimizer(&config(KfacInverse::Exact).with_inverse_period(1), &objective);
    let mut values = Vec::new();
    for _ in 0..20 {
        let step;
        (model, step) = optimizer.step(&model, batch.clone()).unwrap();
        values.push(step.value);
    }
    assert!(values[19] < 0.7 * values[0], "{values:?}");
}

#[test]
fn factored_inverses_are_made_during_steps() {
    let config = config(KfacInverse::Factored);
    let [one, two] = [true, false].map(|on| run(&config.clone().with_background(on), 5));
    assert_eq!(one, two);
}

/// The state has the inverse in use, and not the decomposition under way: the resumed run begins another.
#[test]
fn a_resumed_run_goes_on_with_the_inverse_in_use() {
    let device = Device::flex().autodiff();
    let (mut model, batch, objective) = problem::<B>(2, &device);
    let config = config(KfacInverse::Exact);
    let mut whole = optimizer(&config, &objective);
    for _ in 0..2 {
        (model, _) = whole.step(&model, batch.clone()).unwrap();
    }
    let state = whole.state().unwrap();
    let mut resumed = config.resume(&objective, TARGET, &state).unwrap();
    whole.wait().unwrap();
    assert!(whole.step(&model, batch.clone()).unwrap().1.inverted);
    resumed.wait().unwrap(); // for nothing
    let (other, step) = resumed.step(&model, batch.clone()).unwrap(); // begins one: the third step
    assert!(!step.inverted);
    resumed.wait().unwrap();
    let (_, step) = resumed.step(&other, batch).unwrap();
    assert!(step.inverted);
}

/// A tolerance that f32 does not reach: the same steps as with the host, and the report says so.
#[test]
fn a_fallback_is_reported_and_makes_the_same_step() {
    let device = Device::flex().autodiff();
    let [host, device_asked] = [KfacInversion::Host, KfacInversion::Device { tolerance: 1e-12 }]
        .map(|inversion| {
            let (model, batch, objective) = problem::<B>(2, &device);
            let objective = objective.in_precision(Precision::F32).unwrap();
            let config = config(KfacInverse::Factored).with_inversion(inversion);
            let (model, step) = optimizer(&config, &objective).step(&model, batch).unwrap();
            (parameters(&model), step)
        });
    assert_eq!(host.1.inversion.fallbacks().count(), 0);
    assert!(device_asked.1.inversion.fallbacks().count() > 0);
    assert!(device_asked.1.to_string().contains("on the host after the device"));
    for (found, expected) in device_asked.0.iter().zip(&host.0) {
        assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
    }
    let refused = config(KfacInverse::Factored)
        .with_inversion(KfacInversion::Device { tolerance: 2.0 })
        .validate();
    assert!(matches!(refused, Err(ConfigError { .. })));
}
