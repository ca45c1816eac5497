//! What the quadratic model promises, what λ and γ make of it, and objectives that were captured separately.

use burn::prelude::*;
use burn_curvature::{
    Hessian, KfacOptimizerConfig, Likelihood, LinearOperator, Objective, Reduction,
    errors::{LikelihoodError, ObjectiveError},
    optim::NewtonCgConfig,
};

use super::{exact_config, optimizer, parameters, problem};
use crate::{B, failure::failure, without_draws};

const GAUSSIAN: Likelihood = Likelihood::Gaussian { variance: 1.0 };

fn line(device: &Device) -> nn::Linear {
    let line = nn::LinearConfig::new(1, 1).with_bias(false);
    line.with_initializer(nn::Initializer::Zeros).init(device)
}

fn inputs(device: &Device) -> Tensor<2> {
    Tensor::from_floats([[1.0], [2.0]], device)
}

/// ½ (wx − 3x)² for x = 1 and 2, reduced in some way.
fn captured(model: &nn::Linear, reduce: fn(Tensor<2>) -> Tensor<1>) -> Objective<B> {
    let x = inputs(&model.weight.val().device());
    let objective =
        Objective::capture_with(&Default::default(), model, x, move |model: &nn::Linear, x| {
            let z = model.forward(x.clone());
            (z.clone(), reduce((z - x * 3.0).square() * 0.5))
        });
    objective.unwrap().in_f64().unwrap()
}

/// Without damping or decay, where F is the Hessian.
fn undamped() -> KfacOptimizerConfig {
    KfacOptimizerConfig::new()
        .with_kfac(without_draws())
        .with_damping(1e-9)
        .with_weight_decay(0.0)
        .with_damping_period(Some(1))
}

/// The model is exact here, so h falls by what is predicted also where the gradient is shortened.
/// At w = 0: ∇h = −15, shortened to −1.5; F = 5; δ = 0.3; M(δ) − M(0) = −15·0.3 + ½·5·0.3².
#[test]
fn steps_along_shortened_gradients_are_predicted_with_the_whole_one() {
    let device = Device::flex().autodiff();
    let mut model = line(&device);
    let objective = captured(&model, Tensor::sum).reduced_by(Reduction::Sum).unwrap();
    let config = undamped().with_gradient_norm(Some(1.5));
    let mut optimizer = config.init(&objective, GAUSSIAN).unwrap();
    for k in 0..5 {
        let damping = optimizer.damping();
        let (moved, step) = optimizer.step(&model, inputs(&device)).unwrap();
        if k == 0 {
            assert!((parameters(&moved)[0] - 0.3).abs() < 1e-6, "{step}");
            assert!((step.predicted.unwrap() + 4.275).abs() < 1e-6, "{step}");
        }
        assert!(step.limited, "{step}");
        let ratio = step.reduction_ratio.unwrap();
        assert!((ratio - 1.0).abs() < 1e-6, "{step}");
        assert!((optimizer.damping() / damping - 0.95).abs() < 1e-12, "{step}");
        model = moved;
    }
}

/// γ follows λ, before the first step and between two inversions.
#[test]
fn a_new_damping_reaches_the_inverse() {
    let device = Device::flex().autodiff();
    let (mut model, batch, objective) = problem::<B>(3, &device);
    let decay = 1e-3;
    let config = exact_config().with_weight_decay(decay).with_damping_period(None);
    let config = config.with_search_period(Some(1000)).with_inverse_period(6);
    let mut optimizer = optimizer(&config, &objective);
    optimizer.set_damping(1.0).unwrap();
    let mut gammas = Vec::new();
    for k in 1..=6 {
        if k == 5 {
            optimizer.set_damping(4.0).unwrap();
        }
        let step;
        (model, step) = optimizer.step(&model, batch.clone()).unwrap();
        assert_eq!(step.inverted, k <= 3 || k == 6);
        gammas.push(step.gamma);
    }
    let [first, last] = [1.0, 4.0].map(|damping: f64| (damping + decay).sqrt());
    for (k, gamma) in gammas.into_iter().enumerate() {
        let expected = if k == 5 { last } else { first };
        assert!((gamma - expected).abs() < 1e-12, "step {}: {gamma} for {expected}", k + 1);
    }
}

/// The solution w = 3 by an objective that was captured separately, or a refusal if it is reduced in another way than
/// was stated, or is another loss.
#[test]
fn objectives_that_were_captured_separately_are_not_trusted() {
    let device = Device::flex().autodiff();
    let model = line(&device);
    let objective = captured(&model, |losses| losses.mean()).reduced_by(Reduction::Mean).unwrap();
    let optimizer = || undamped().init(&objective, GAUSSIAN).unwrap();
    let mean = captured(&model, |losses| losses.mean());
    let [sum, triple] = [|losses: Tensor<2>| losses.sum(), |losses: Tensor<2>| losses.mean() * 3.0]
        .map(|reduce| captured(&model, reduce));

    let (found, step) = optimizer().step_on(&model, &mean).unwrap();
    assert!((parameters(&found)[0] - 3.0).abs() < 1e-6, "{step}");
    let given = mean.value_and_gradient().unwrap();
    let (found, _) = optimizer().step_with_gradient(&model, &mean, given).unwrap();
    assert!((parameters(&found)[0] - 3.0).abs() < 1e-6);

    let refused = optimizer().step_on(&model, &sum);
    assert!(matches!(failure(&refused), Some(ObjectiveError::NotReducedSo { .. })), "{refused:?}");
    let given = sum.value_and_gradient().unwrap();
    let refused = optimizer().step_with_gradient(&model, &sum, given);
    assert!(matches!(failure(&refused), Some(ObjectiveError::NotReducedSo { .. })), "{refused:?}");
    let refused = optimizer().step_on(&model, &triple);
    let other = failure::<_, LikelihoodError>(&refused);
    assert!(matches!(other, Some(LikelihoodError::LossIsNotLikelihood { .. })), "{refused:?}");
    let unchecked = undamped().with_check_loss(false);
    assert!(unchecked.init(&objective, GAUSSIAN).unwrap().step_on(&model, &triple).is_ok());
}

/// The same for Newton's methods: h by its mean and the curvature of a sum do not go together.
#[test]
fn curvature_of_another_reduction_is_refused() {
    let device = Device::flex().autodiff();
    let model = line(&device);
    let mean = captured(&model, |losses| losses.mean());
    let sum = captured(&model, Tensor::sum);
    let objective = mean.reduced_by(Reduction::Mean).unwrap();
    let mut optimizer = NewtonCgConfig::new().init(&objective).unwrap();
    let refused = optimizer.step_with_curvature(&model, &objective, &sum);
    assert!(matches!(failure(&refused), Some(ObjectiveError::NotReducedSo { .. })), "{refused:?}");
    let (found, _) = optimizer.step_with_curvature(&model, &objective, &mean).unwrap();
    assert!((parameters(&found)[0] - 3.0).abs() < 1e-6);
    // Twice the samples, twice the sum.
    let ones = mean.parameters().space().ones();
    let [one, two] = [&mean, &sum].map(|of| Hessian::new(of).unwrap().apply(&ones).unwrap());
    assert_eq!(one.scale(2.0).to_vec().unwrap(), two.to_vec().unwrap());
}
