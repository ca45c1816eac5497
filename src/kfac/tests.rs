//! Factors that are kept on the device from step to step, against those that are averaged on the host; when they are
//! read.

#![allow(clippy::unwrap_used)]

mod cost;
mod reach;

use burn::{
    backend::{Autodiff, Flex},
    module::{Module, Param},
    prelude::*,
};

use super::{Kfac, KfacCollector, KfacConfig, KfacError, KfacFisher, UncoveredPolicy};
use crate::{CaptureConfig, Likelihood, LinearOperator, Objective, ParamVector, Reduction};

type B = Autodiff<Flex>;

const LIKELIHOOD: Likelihood = Likelihood::Categorical;
const REDUCTION: Reduction = Reduction::Mean;

#[derive(Module, Debug)]
struct Scaled {
    weight: Param<Tensor<2>>,
    scale: Param<Tensor<1>>,
}

fn numbers<const D: usize>(shape: [usize; D], seed: f64) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|i| (seed + i as f64).sin()).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
}

fn scaled() -> Scaled {
    Scaled {
        weight: Param::from_tensor(numbers([4, 3], 1.0)),
        scale: Param::from_tensor(numbers([3], 2.0)),
    }
}

fn objective() -> Objective<B> {
    let model = scaled();
    let batch = numbers([6, 4], 3.0);
    let config = CaptureConfig::new();
    let objective = Objective::capture_with(&config, &model, batch, |model: &Scaled, x| {
        let z = x.matmul(model.weight.val()) * model.scale.val().unsqueeze::<2>();
        (z.clone(), z.powf_scalar(2.0).mean())
    });
    let objective = objective.unwrap().in_f64().unwrap().reduced_by(REDUCTION).unwrap();
    objective.without_loss_check()
}

fn collector(objective: &Objective<B>, fisher: KfacFisher) -> KfacCollector {
    let config = KfacConfig::new().with_fisher(fisher);
    KfacCollector::new(objective, LIKELIHOOD, &config).unwrap()
}

fn distance(a: &ParamVector<B>, b: &ParamVector<B>) -> f64 {
    a.clone().sub(b).unwrap().norm().unwrap() / b.norm().unwrap()
}

#[test]
fn averages_on_the_device_are_those_on_the_host() {
    let one = objective();
    let moved = one.parameters().clone().scale(0.5);
    let other = one.at(&moved).unwrap();
    for fisher in [
        KfacFisher::Exact,
        KfacFisher::MonteCarlo { draws: 2, seed: 1 },
        KfacFisher::Empirical,
        KfacFisher::ForwardOnly,
    ] {
        let collector = collector(&one, fisher);
        let [old, new] = [&one, &other].map(|objective| {
            let (at, factors) = collector.gradient_and_factors(objective).unwrap();
            let gradient = objective.gradient().unwrap();
            assert!(distance(&at.gradient, &gradient) < 1e-14);
            let uncovered = collector.uncovered(objective).unwrap();
            let kfac = collector.kfac(objective, factors.clone(), uncovered.clone()).unwrap();
            (kfac.state().unwrap(), factors, uncovered)
        });
        let decay = 0.3;
        let factors = old.1.averaged(&new.1, decay).unwrap();
        let uncovered = old.2.averaged(&new.2, decay).unwrap();
        let found = collector.kfac(&one, factors, uncovered).unwrap();
        let state = old.0.averaged(&new.0, decay).unwrap();
        let expected = Kfac::from_state(&one, &state).unwrap();
        let v = one.parameters().space().normal(4);
        for (found, expected) in [
            (found.apply(&v), expected.apply(&v)),
            (
                found.factored_inverse(0.1).unwrap().apply(&v),
                expected.factored_inverse(0.1).unwrap().apply(&v),
            ),
        ] {
            let error = distance(&found.unwrap(), &expected.unwrap());
            assert!(error < 1e-13, "{fisher:?}: {error}");
        }
        assert!(old.1.averaged(&new.1, 1.5).is_err());
    }
}

/// Drawn targets, and the random signs for the scale, which belongs to no layer.
#[test]
fn every_step_has_draws_of_its_own() {
    let objective = objective();
    let v = objective.parameters().space().ones();
    let signs = UncoveredPolicy::Diagonal { probes: 2, seed: 3 };
    let whole = UncoveredPolicy::ExactBlock { limit: 10 };
    let drawn = KfacFisher::MonteCarlo { draws: 1, seed: 1 };
    for (fisher, uncovered, changes) in
        [(drawn, whole, true), (KfacFisher::Exact, signs, true), (KfacFisher::Exact, whole, false)]
    {
        let config = KfacConfig::new().with_fisher(fisher).with_uncovered(uncovered);
        let made = KfacCollector::new(&objective, LIKELIHOOD, &config).unwrap();
        let product = |step| {
            let collector = made.clone().at_step(step);
            let factors = collector.factors(&objective).unwrap();
            let uncovered = collector.uncovered(&objective).unwrap();
            let kfac = collector.kfac(&objective, factors, uncovered).unwrap();
            let found = kfac.apply(&v).unwrap().to_vec().unwrap();
            let of_config = config.at_step(step).init(&objective, LIKELIHOOD).unwrap();
            assert_eq!(found, of_config.apply(&v).unwrap().to_vec().unwrap());
            let (with_gradient, _) =
                config.at_step(step).init_with_gradient(&objective, LIKELIHOOD).unwrap();
            let error = distance(&with_gradient.apply(&v).unwrap(), &of_config.apply(&v).unwrap());
            assert!(error < 1e-14, "{config}: {error}");
            found
        };
        assert_eq!(product(1), product(1), "{config}");
        assert_eq!(product(1) != product(2), changes, "{config}");
    }
}

#[test]
fn factors_are_read_when_they_are_needed_and_once_for_all_clones() {
    let objective = objective();
    let v = objective.parameters().space().ones();
    let config = KfacConfig::new();
    let (kfac, _) = config.init_with_gradient(&objective, LIKELIHOOD).unwrap();
    kfac.apply(&v).unwrap();
    kfac.layer("weight").unwrap();
    assert!(!kfac.layers()[0].input().was_read());
    let clone = kfac.clone();
    kfac.factored_inverse(0.1).unwrap();
    assert!(clone.layers()[0].input().was_read());
    let state = clone.state().unwrap();
    let loaded = Kfac::from_state(&objective, &state).unwrap();
    assert_eq!(loaded.state().unwrap(), state);
}

#[test]
fn factors_that_are_not_finite_are_refused_when_made_or_read() {
    let objective = cost::classifier(&[4, 3], 6);
    let fisher = KfacFisher::ForwardOnly;
    let collector = collector(&objective, fisher);
    let uncovered = collector.uncovered(&objective).unwrap();
    let x = numbers([6, 4], 3.0) * f32::INFINITY;
    let infinite = objective.on(x).unwrap();
    let factors = collector.factors(&infinite).unwrap();
    let expected = KfacError::NonFinite { layer: "weights.0".into() };
    let kfac = collector.kfac(&objective, factors, uncovered).unwrap();
    assert_eq!(kfac.state().unwrap_err().downcast_ref(), Some(&expected));
    assert_eq!(kfac.inverse(0.1).unwrap_err().downcast_ref(), Some(&expected));
    assert_eq!(kfac.trace().unwrap_err().downcast_ref(), Some(&expected));
    let config = KfacConfig::new().with_fisher(fisher);
    let made = config.init(&infinite, LIKELIHOOD);
    assert_eq!(made.unwrap_err().downcast_ref(), Some(&expected));
}

/// A trace that overflows in f32, of entries that do not, is no fault of the factors.
#[test]
fn large_factors_are_not_refused() {
    let objective = cost::classifier(&[8, 3], 2);
    let large = objective.on(numbers([2, 8], 3.0) * 1.6e19).unwrap();
    let config = KfacConfig::new().with_fisher(KfacFisher::ForwardOnly);
    let kfac = config.init(&large, LIKELIHOOD).unwrap();
    assert!(kfac.trace().unwrap() > f64::from(f32::MAX));
}
