//! What is frozen or unfrozen after the optimizer was made.

use burn::{
    module::Param,
    nn::{Linear, LinearConfig},
    prelude::*,
};
use burn_curvature::{
    Error, KfacOptimizer, KfacOptimizerConfig, Likelihood, Objective, Reduction, errors::ParamError,
};

use super::parameters;
use crate::{B, failure::failure, without_draws};

type Points = (Tensor<2>, Tensor<2>);

/// z = x + 1 at x = (1, 2), ½ Σ z².
fn line() -> (Linear, Points, KfacOptimizer<B>) {
    let device = Device::flex().autodiff();
    let mut model = LinearConfig::new(1, 1).init(&device);
    model.weight = Param::from_tensor(Tensor::from_floats([[1.0]], &device));
    model.bias = Some(Param::from_tensor(Tensor::from_floats([1.0], &device)));
    let x = Tensor::<2>::from_floats([[1.0], [2.0]], &device);
    let batch = (x.clone(), x.zeros_like());
    let objective: Objective<B> = Objective::capture_with(
        &Default::default(),
        &model,
        batch.clone(),
        |model: &Linear, (x, y): Points| {
            let z = model.forward(x);
            (z.clone(), (z - y).powf_scalar(2.0).sum() * 0.5)
        },
    )
    .unwrap();
    let optimizer = KfacOptimizerConfig::stochastic(0.1)
        .with_kfac(without_draws())
        .init(
            &objective.reduced_by(Reduction::Sum).unwrap(),
            Likelihood::Gaussian { variance: 1.0 },
        )
        .unwrap();
    (model, batch, optimizer)
}

fn with_bias(model: &Linear, trains: bool) -> Linear {
    let bias = model.bias.clone().map(|bias| bias.set_require_grad(trains));
    Linear { bias, ..model.clone() }
}

fn changed<T>(result: Result<T, Error>) -> (Vec<String>, String) {
    match failure(&result) {
        Some(ParamError::Changed { changed, report }) => (changed.clone(), report.clone()),
        _ => panic!("expected a change of the model"),
    }
}

#[test]
fn a_bias_frozen_since_is_named() {
    let (model, batch, mut optimizer) = line();
    let (model, _) = optimizer.step(&model, batch.clone()).unwrap();
    let frozen = with_bias(&model, false);
    let (names, report) = changed(optimizer.step(&frozen, batch.clone()));
    assert_eq!(names, ["bias"]);
    assert!(report.contains("✓ `weight`") && report.contains("✗ `bias` is frozen now"), "{report}");
    let (names, _) = changed(optimizer.transform(&frozen, batch.clone()));
    assert_eq!(names, ["bias"]);
    // Made as it was, it trains on.
    let thawed = with_bias(&frozen, true);
    let (moved, step) = optimizer.step(&thawed, batch).unwrap();
    assert_eq!(step.step, 2);
    assert_ne!(parameters(&moved), parameters(&model));
}

#[test]
fn a_bias_unfrozen_since_is_named() {
    let (model, batch, _) = line();
    let frozen = with_bias(&model, false);
    let objective: Objective<B> = Objective::capture_with(
        &Default::default(),
        &frozen,
        batch.clone(),
        |model: &Linear, (x, y): Points| {
            let z = model.forward(x);
            (z.clone(), (z - y).powf_scalar(2.0).sum() * 0.5)
        },
    )
    .unwrap();
    let gaussian = Likelihood::Gaussian { variance: 1.0 };
    let mut optimizer = KfacOptimizerConfig::stochastic(0.1)
        .with_kfac(without_draws())
        .init(&objective.reduced_by(Reduction::Sum).unwrap(), gaussian)
        .unwrap();
    assert!(optimizer.step(&frozen, batch.clone()).is_ok());
    let (names, report) = changed(optimizer.step(&model, batch));
    assert_eq!(names, ["bias"]);
    assert!(report.contains("requires a gradient now"), "{report}");
}
