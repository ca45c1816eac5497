//! What is refused, with the optimizer left as it was.

use crate::failure::failure;
use burn::{module::Param, nn::loss::CrossEntropyLossConfig, prelude::*};
use burn_curvature::{
    Error, KfacOptimizer, KfacOptimizerConfig, Likelihood, Objective, Reduction,
    errors::{ConfigError, LikelihoodError, ObjectiveError, OptimizerError, VectorError},
    optim::{KfacStep, StepRule},
};

use super::{TARGET, exact_config, optimizer, parameters, problem};
use crate::{B, Classifier, Samples, cross_entropy, samples, without_draws};

#[test]
fn ranges() {
    let light = |rate, momentum, limit| {
        KfacOptimizerConfig::new().with_rule(StepRule::LearningRate { rate, momentum, limit })
    };
    let new = KfacOptimizerConfig::new;
    for (field, config) in [
        ("rate", light(-0.1, 0.0, None)),
        ("rate", light(f64::NAN, 0.0, None)),
        ("momentum", light(0.1, 1.0, None)),
        ("momentum", light(0.1, -0.1, None)),
        ("limit", light(0.1, 0.0, Some(0.0))),
        ("search_period", KfacOptimizerConfig::stochastic(0.1).with_search_period(Some(5))),
        ("damping_period", KfacOptimizerConfig::stochastic(0.1).with_damping_period(Some(5))),
        ("damping", new().with_damping(0.0)),
        ("damping", new().with_damping(f64::INFINITY)),
        ("damping_period", new().with_damping_period(Some(0))),
        ("search_period", new().with_search_period(Some(0))),
        ("inverse_period", new().with_inverse_period(0)),
        ("factor_period", new().with_factor_period(0)),
        ("decay", new().with_decay(1.5)),
        ("weight_decay", new().with_weight_decay(-1e-5)),
        ("gradient_norm", new().with_gradient_norm(Some(0.0))),
    ] {
        assert_eq!(config.validate().unwrap_err().field, field);
    }
    assert!(new().validate().is_ok());
    assert!(KfacOptimizerConfig::stochastic(0.1).validate().is_ok());
}

#[test]
fn a_loss_that_is_not_the_likelihood() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(1, &device);
    // A closure that half a batch does not fit: its reduction is taken on trust.
    let fixed: Objective<B> = Objective::capture_with(
        &Default::default(),
        &model,
        batch,
        |model: &Classifier, (x, y)| {
            let z: Tensor<2> = model.forward(x).reshape([12, 3]);
            let loss = CrossEntropyLossConfig::new().init(&z.device()).forward(z.clone(), y);
            (z, loss)
        },
    )
    .unwrap();
    let summed = fixed.in_f64().unwrap().reduced_by(Reduction::Sum).unwrap();
    let wrong = [
        (Likelihood::Categorical, &summed, Some(1.0 / 12.0)),
        (Likelihood::Gaussian { variance: 1.0 }, &objective, None),
        (Likelihood::Bernoulli, &objective, None),
    ];
    for (likelihood, objective, expected) in wrong {
        let error = exact_config().init(objective, likelihood).unwrap_err();
        let Some(LikelihoodError::LossIsNotLikelihood { ratio, .. }) = error.downcast_ref() else {
            panic!("{error}");
        };
        match (ratio, expected) {
            (Some(ratio), Some(expected)) => assert!((ratio - expected).abs() < 1e-9),
            _ => assert_eq!(*ratio, expected),
        }
        let unchecked = exact_config().with_check_loss(false);
        assert!(unchecked.init(objective, likelihood).is_ok());
    }
}

#[test]
fn learning_rates_of_the_full_algorithm() {
    let device = Device::flex().autodiff();
    let (_, _, objective) = problem::<B>(1, &device);
    let error = optimizer(&exact_config(), &objective).set_learning_rate(0.1).unwrap_err();
    let rule = "QuadraticModel";
    assert_eq!(error.downcast_ref(), Some(&OptimizerError::NoLearningRate { found: 0.1, rule }));
    let mut light = optimizer(&KfacOptimizerConfig::stochastic(0.1), &objective);
    assert!(matches!(failure(&light.set_learning_rate(f64::NAN)), Some(ConfigError { .. })));
    assert!(matches!(failure(&light.set_damping(-1.0)), Some(ConfigError { .. })));
    assert_eq!(light.damping(), 1e-2);
}

/// After an error the next step is the one that would have been.
#[test]
fn errors_leave_the_optimizer_as_it_was() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(1, &device);
    let mut one = optimizer(&exact_config(), &objective);
    let (model, _) = one.step(&model, batch.clone()).unwrap();
    let mut other = one.clone();

    let nan = (batch.0.clone() * f32::NAN, batch.1.clone());
    assert!(matches!(
        one.step(&model, nan).unwrap_err().downcast_ref(),
        Some(ObjectiveError::NotFiniteLoss { .. })
    ));
    assert!(one.step(&model, batch.0.clone()).is_err()); // no classes
    let infinite = Classifier {
        output: nn::Linear {
            bias: Some(Param::from_data([f32::INFINITY, 0.0, 0.0], &device)),
            ..model.output.clone()
        },
        ..model.clone()
    };
    assert!(one.step(&infinite, batch.clone()).is_err());
    let stranger = nn::LinearConfig::new(4, 3).init(&device);
    let refused = one.step(&stranger, batch.clone());
    assert!(matches!(failure(&refused), Some(ObjectiveError::OtherModel { .. })), "{refused:?}");
    let refused = one.step(&Classifier::new(1, &device), batch.clone());
    assert!(matches!(failure(&refused), Some(VectorError::LayoutMismatch { .. })), "{refused:?}");

    let (first, a) = one.step(&model, batch.clone()).unwrap();
    let (second, b) = other.step(&model, batch).unwrap();
    assert_eq!((a, parameters(&first)), (b, parameters(&second)));
}

#[derive(Module, Debug)]
struct Power {
    w: Param<Tensor<1>>,
}

/// Parameters after a step, and its report.
type Stepped = (Vec<f64>, KfacStep);

/// One step from zero on the sum of a function of the outputs, which is no likelihood.
fn step_from_zero(
    config: KfacOptimizerConfig,
    function: fn(Tensor<2>) -> Tensor<2>,
) -> (KfacOptimizer<B>, Result<Stepped, Error>) {
    let device = Device::flex().autodiff();
    let model = Power { w: Param::from_data([0.0_f32, 0.0], &device) };
    let x = Tensor::<2>::from_floats([[1.0], [1.0]], &device);
    let loss = move |model: &Power, x: Tensor<2>| {
        let z = x * model.w.val().unsqueeze();
        (z.clone(), function(z).sum())
    };
    let objective: Objective<B> =
        Objective::capture_with(&Default::default(), &model, x.clone(), loss).unwrap();
    let gaussian = Likelihood::Gaussian { variance: 1.0 };
    let mut optimizer = config
        .with_kfac(without_draws())
        .with_damping(1.0)
        .with_check_loss(false)
        .init(&objective.reduced_by(Reduction::Sum).unwrap(), gaussian)
        .unwrap();
    let step = optimizer.step(&model, x);
    let step = step.map(|(model, step)| (parameters(&model), step));
    (optimizer, step)
}

/// A step that is promised far more than it gets is taken, and λ rises.
#[test]
fn broken_promises_raise_the_damping() {
    let config = KfacOptimizerConfig::new().with_damping_period(Some(1));
    let (optimizer, step) = step_from_zero(config, |z| (z * -1e3).exp());
    let (_, step) = step.unwrap();
    assert!(step.taken);
    assert!(step.reduction_ratio.unwrap() < 0.25);
    assert!((optimizer.damping() - 1.0 / 0.95).abs() < 1e-12);
}

/// A step to where the loss overflows is not taken, and λ rises if it is adapted, whether that is due or not.
#[test]
fn steps_to_infinity_are_not_taken() {
    let rises = 0.95_f64.recip();
    for (period, factor) in [(Some(1), rises), (Some(5), rises.powi(5)), (None, 1.0)] {
        let config = KfacOptimizerConfig::new().with_damping_period(period);
        // The slope at zero is 1; to the left of it the exponential overflows.
        let (optimizer, step) = step_from_zero(config, |z| z.clone() * 400.0 + (z * -399.0).exp());
        let (still, step) = step.unwrap();
        assert!(!step.taken, "{period:?}");
        assert_eq!(step.reduction_ratio, None);
        assert!((optimizer.damping() - factor).abs() < 1e-12);
        assert_eq!(still, [0.0, 0.0]);
    }
}

/// A slope whose square leaves the range of f32.
#[test]
fn steps_out_of_range_are_errors() {
    for config in [KfacOptimizerConfig::new(), KfacOptimizerConfig::stochastic(0.1)] {
        let (_, step) = step_from_zero(config, |z| z * 1e25);
        let error = step.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(OptimizerError::StepRange { .. })), "{error}");
    }
}

/// Frozen parameters are no part of it, and stay.
#[test]
fn frozen_parameters_stay() {
    let device = Device::flex().autodiff();
    let mut model = Classifier::new(1, &device);
    model.hidden = model.hidden.no_grad();
    let batch: Samples = samples(12, 101, &device);
    let objective: Objective<B> =
        Objective::capture_with(&Default::default(), &model, batch.clone(), cross_entropy).unwrap();
    let objective = objective.reduced_by(Reduction::Mean).unwrap();
    let mut kfac = exact_config().init(&objective, TARGET).unwrap();
    let (moved, _) = kfac.step(&model, batch).unwrap();
    let weight = |model: &Classifier| model.hidden.weight.val().into_data();
    assert_eq!(weight(&moved), weight(&model));
    assert_ne!(moved.output.weight.val().into_data(), model.output.weight.val().into_data());
}
