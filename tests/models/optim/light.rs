//! The light mode: learning rates, momentum, the limit on what a step changes, and Burn's own optimizers behind it.

use burn::{
    lr_scheduler::exponential::ExponentialLrSchedulerConfig,
    optim::{AdamConfig, SgdConfig},
    tensor::Device,
};
use burn_curvature::{
    Kfac, KfacConfig, KfacOptimizerConfig, LinearOperator,
    kfac::KfacFisher,
    optim::{KfacInverse, StepRule},
};

use super::{TARGET, optimizer, parameters, problem};
use crate::{B, without_draws};

fn rule(rate: f64, momentum: f64, limit: Option<f64>) -> KfacOptimizerConfig {
    KfacOptimizerConfig::stochastic(rate)
        .with_kfac(without_draws())
        .with_damping(0.1)
        .with_rule(StepRule::LearningRate { rate, momentum, limit })
}

/// One step by hand: Δ = −(F̂ + (λ + η)I)⁻¹(∇ℒ + ηθ).
#[test]
fn weight_decay_adds_to_the_gradient_and_to_the_damping() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(2, &device);
    let config = rule(0.2, 0.0, None).with_weight_decay(0.3).with_inverse(KfacInverse::Exact);
    let mut optimizer = optimizer(&config, &objective);
    let start = objective.parameters().clone();
    let gradient = objective.gradient().unwrap().axpy(0.3, &start).unwrap();
    let inverse = without_draws().init(&objective, TARGET).unwrap().inverse(0.1 + 0.3).unwrap();
    let delta = inverse.apply(&gradient).unwrap().scale(-0.2);
    let (model, step) = optimizer.step(&model, batch).unwrap();
    assert!((step.gamma - 0.4_f64.sqrt()).abs() < 1e-12, "{step}");
    assert_close(&parameters(&model), &start.axpy(1.0, &delta).unwrap().to_vec().unwrap());
}

/// Two steps by hand: Δ = −F̂⁻¹∇ℒ, δ = rate·Δ, then δ = rate·Δ' + momentum·δ.
#[test]
fn momentum_and_rate_are_those_of_the_formula() {
    let device = Device::flex().autodiff();
    for kind in [KfacInverse::Factored, KfacInverse::Exact] {
        let (model, batch, objective) = problem::<B>(2, &device);
        let config = rule(0.2, 0.7, None).with_inverse(kind);
        let mut optimizer = optimizer(&config, &objective);
        let start = objective.parameters().clone();
        let kfac = without_draws().init(&objective, TARGET).unwrap();
        let inverse = |kfac: &Kfac<B>| match kind {
            KfacInverse::Factored => kfac.factored_inverse(0.1).unwrap(),
            KfacInverse::Exact => kfac.inverse(0.1).unwrap(),
            KfacInverse::EigenvalueCorrected => panic!("not here"),
        };
        let first = inverse(&kfac).apply(&objective.gradient().unwrap()).unwrap().scale(-0.2);
        let (model, step) = optimizer.step(&model, batch.clone()).unwrap();
        assert_eq!((step.alpha, step.momentum), (0.2, 0.0));
        let second_start = start.clone().axpy(1.0, &first).unwrap();
        assert_close(&parameters(&model), &second_start.to_vec().unwrap());

        let at = objective.at(&second_start).unwrap();
        let new = without_draws().init(&at, TARGET).unwrap();
        let average = kfac.state().unwrap().averaged(&new.state().unwrap(), 0.5).unwrap();
        let kfac = Kfac::from_state(&objective, &average).unwrap();
        let second = inverse(&kfac)
            .apply(&at.gradient().unwrap())
            .unwrap()
            .scale(-0.2)
            .axpy(0.7, &first)
            .unwrap();
        let (model, step) = optimizer.step(&model, batch).unwrap();
        assert_eq!((step.alpha, step.momentum), (0.2, 0.7));
        let end = second_start.axpy(1.0, &second).unwrap();
        assert_close(&parameters(&model), &end.to_vec().unwrap());
    }
}

fn assert_close(found: &[f64], expected: &[f64]) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-6, "{found} for {expected}");
    }
}

/// rate²ν²·ΔᵀF̂Δ ≤ limit: with a small limit α = √(limit / |Δᵀ∇h|), with a large one the rate.
#[test]
fn the_limit_shortens_large_steps_only() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(4, &device);
    let kfac = without_draws().init(&objective, TARGET).unwrap();
    let gradient = objective.gradient().unwrap();
    let delta = kfac.factored_inverse(0.1).unwrap().apply(&gradient).unwrap();
    let change = delta.dot(&gradient).unwrap();
    for (limit, alpha) in [(1e-4, (1e-4 / change).sqrt()), (1e6, 0.5)] {
        let mut optimizer = optimizer(&rule(0.5, 0.0, Some(limit)), &objective);
        let (_, step) = optimizer.step(&model, batch.clone()).unwrap();
        assert!((step.alpha - alpha).abs() < 1e-9 * alpha, "{} for {alpha}", step.alpha);
    }
}

/// A gradient longer than the limit is shortened to it, and steps with it.
#[test]
fn long_gradients_are_shortened() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(6, &device);
    let norm = objective.gradient().unwrap().norm().unwrap();
    let start = parameters(&model);
    let moved = |longest: Option<f64>| -> Vec<f64> {
        let config = rule(0.2, 0.0, None).with_gradient_norm(longest);
        let (model, step) = optimizer(&config, &objective).step(&model, batch.clone()).unwrap();
        assert!((step.gradient_norm - norm).abs() < 1e-9 * norm);
        parameters(&model).iter().zip(&start).map(|(a, b)| a - b).collect()
    };
    let (whole, half) = (moved(None), moved(Some(0.5 * norm)));
    assert_close(&half, &whole.iter().map(|x| 0.5 * x).collect::<Vec<_>>());
    assert_eq!(moved(Some(2.0 * norm)), whole);
}

/// `transform` and SGD of rate r make the light step of rate r; behind Adam it lowers the loss too.
#[test]
fn natural_gradients_go_into_burns_optimizers() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(7, &device);
    let config = rule(0.3, 0.0, None);
    let (expected, _) = optimizer(&config, &objective).step(&model, batch.clone()).unwrap();
    let (gradients, step) =
        optimizer(&config, &objective).transform(&model, batch.clone()).unwrap();
    assert_eq!(step.alpha, 1.0);
    let moved = SgdConfig::new().init().step(0.3, model.clone(), gradients);
    assert_close(&parameters(&moved), &parameters(&expected));

    let (mut model, mut kfac) = (model, optimizer(&config, &objective));
    let (mut adam, mut values) = (AdamConfig::new().init(), Vec::new());
    let mut rates = ExponentialLrSchedulerConfig::new(0.05, 0.95).init().unwrap();
    for _ in 0..20 {
        let (gradients, step) = kfac.transform(&model, batch.clone()).unwrap();
        values.push(step.value);
        model = adam.step(rates.step(), model, gradients);
    }
    assert!(values[19] < 0.8 * values[0], "{values:?}");
}

/// Rates of a scheduler of Burn are the α of the steps.
#[test]
fn schedulers_set_the_rate() {
    let device = Device::flex().autodiff();
    let (mut model, batch, objective) = problem::<B>(8, &device);
    let mut optimizer = optimizer(&rule(1.0, 0.0, None), &objective);
    let mut scheduler = ExponentialLrSchedulerConfig::new(0.4, 0.5).init().unwrap();
    for k in 0..4 {
        optimizer.set_learning_rate(scheduler.step().base()).unwrap();
        optimizer.set_damping(0.1 * f64::from(k + 1)).unwrap();
        let step;
        (model, step) = optimizer.step(&model, batch.clone()).unwrap();
        assert!((step.alpha - 0.4 * 0.5_f64.powi(k)).abs() < 1e-12, "{step}");
        assert_eq!(step.damping, 0.1 * f64::from(k + 1));
    }
}

/// Mini-batches with drawn targets: the loss on all data falls from every one of three starts.
#[test]
fn mini_batches_train() {
    let device = Device::flex().autodiff();
    for seed in 1..4 {
        let (mut model, batch, objective) = problem::<B>(seed, &device);
        let kfac = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 1, seed });
        let config = KfacOptimizerConfig::stochastic(0.3).with_kfac(kfac);
        let mut optimizer = optimizer(&config, &objective);
        let before = objective.value().unwrap();
        for k in 0..60 {
            let rows = 4 * (k % 3)..4 * (k % 3) + 4;
            let part = (batch.0.clone().slice([rows.clone()]), batch.1.clone().slice([rows]));
            (model, _) = optimizer.step(&model, part).unwrap();
        }
        let theta = objective.parameters().space().vector(&parameters(&model)).unwrap();
        let after = objective.at(&theta).unwrap().value().unwrap();
        assert!(after < 0.7 * before, "seed {seed}: {before} to {after}");
    }
}
