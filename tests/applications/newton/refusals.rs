//! What is refused, with the optimizer left as it was.

use burn::{
    nn::{Dropout, DropoutConfig, Linear, LinearConfig},
    prelude::*,
};
use burn_curvature::{
    CaptureConfig, Objective, Reduction,
    errors::{ConfigError, ObjectiveError, OptimizerError, VectorError},
    optim::{
        Armijo, DampingRule, Direction, Forcing, HessianFreeConfig, LissaNewtonConfig,
        NewtonCgConfig, NewtonOptimizerConfig, Preconditioner, Rule, TruncatedCg,
        TrustRegionNewtonConfig,
    },
    solver::LissaConfig,
};

use super::{B, Point, functions::rosenbrock, number, objective};
use crate::{
    classifier::{Classifier, cross_entropy, samples},
    failure::failure,
};

#[test]
fn ranges() {
    let cg =
        |cg: TruncatedCg, rule| NewtonOptimizerConfig::new(Direction::ConjugateGradient(cg), rule);
    let plain = |rule| cg(TruncatedCg::new(), rule);
    let line = || plain(Rule::Armijo(Armijo::new()));
    let region = |radius, largest, accept| plain(Rule::TrustRegion { radius, largest, accept });
    let damped = |adaptation| plain(Rule::LevenbergMarquardt { adaptation, search: None });
    let direction = |one: TruncatedCg| cg(one, Rule::Armijo(Armijo::new()));
    let squares = |exponent, probes| {
        let squares = Preconditioner::SquaredGradients { exponent, probes, seed: 0 };
        direction(TruncatedCg::new().with_preconditioner(Some(squares)))
    };
    let wide = Rule::TrustRegion { radius: 1.0, largest: 2.0, accept: 0.1 };
    for (field, config) in [
        ("rate", plain(Rule::Fixed { rate: -1.0 })),
        ("rate", plain(Rule::Fixed { rate: f64::NAN })),
        ("decrease", plain(Rule::Armijo(Armijo::new().with_decrease(0.0)))),
        ("shrink", plain(Rule::Armijo(Armijo::new().with_shrink(1.0)))),
        ("trials", plain(Rule::Armijo(Armijo::new().with_trials(0)))),
        ("raise", damped(DampingRule::Ratio { raise: 1.0 }).with_damping(1.0)),
        ("damping", damped(DampingRule::Nielsen)),
        ("damping", line().with_damping(-1.0)),
        ("damping", line().with_damping(f64::INFINITY)),
        ("weight_decay", line().with_weight_decay(-1e-5)),
        ("gradient_tolerance", line().with_gradient_tolerance(f64::NAN)),
        ("radius", region(0.0, 1.0, 0.1)),
        ("largest", region(2.0, 1.0, 0.1)),
        ("accept", region(1.0, 2.0, 0.25)),
        ("rule", cg(TruncatedCg::new().with_warm_start(Some(0.95)), wide)),
        ("rule", cg(TruncatedCg::new().with_backtracking(Some(1.3)), wide)),
        ("rule", NewtonOptimizerConfig::new(Direction::Lissa(LissaConfig::new()), wide)),
        ("Fixed", direction(TruncatedCg::new().with_forcing(Forcing::Fixed(0.0)))),
        (
            "largest",
            direction(TruncatedCg::new().with_forcing(Forcing::EisenstatWalker { largest: 1.0 })),
        ),
        ("max_iterations", direction(TruncatedCg::new().with_max_iterations(Some(0)))),
        ("relative_progress", direction(TruncatedCg::new().with_relative_progress(Some(1.0)))),
        ("warm_start", direction(TruncatedCg::new().with_warm_start(Some(1.5)))),
        ("backtracking", direction(TruncatedCg::new().with_backtracking(Some(1.0)))),
        ("exponent", squares(0.0, 1)),
        ("probes", squares(0.5, 0)),
        (
            "depth",
            LissaNewtonConfig::new().with_series(LissaConfig::new().with_depth(0)).optimizer(),
        ),
    ] {
        assert_eq!(config.validate().unwrap_err().field, field, "{config:?}");
    }
    for config in [
        line(),
        NewtonCgConfig::new().optimizer(),
        TrustRegionNewtonConfig::new().optimizer(),
        LissaNewtonConfig::new().optimizer(),
        HessianFreeConfig::new().optimizer(),
        burn_curvature::optim::LevenbergMarquardtConfig::new().optimizer(),
    ] {
        assert!(config.validate().is_ok(), "{config:?}");
        // A configuration is data.
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<NewtonOptimizerConfig>(&text).unwrap(), config);
    }
    let start = Point::at(&[-1.2, 1.0]);
    let refused = line().with_damping(-1.0).init(&objective(&start, rosenbrock));
    assert!(matches!(failure(&refused), Some(ConfigError { .. })), "{refused:?}");
}

#[test]
fn rates_where_there_are_none() {
    let start = Point::at(&[-1.2, 1.0]);
    let objective = objective(&start, rosenbrock);
    let mut optimizer = NewtonCgConfig::new().init(&objective).unwrap();
    let refused = optimizer.set_learning_rate(0.1);
    assert_eq!(
        failure(&refused),
        Some(&OptimizerError::NoLearningRate { found: 0.1, rule: "Armijo" })
    );
    let refused = optimizer.set_damping(f64::NAN);
    assert!(matches!(failure(&refused), Some(ConfigError { .. })));
    let config = NewtonOptimizerConfig::new(
        Direction::ConjugateGradient(TruncatedCg::new()),
        Rule::Fixed { rate: 1.0 },
    );
    let mut fixed = config.init(&objective).unwrap();
    for rate in [-0.5, f64::NAN, f64::INFINITY] {
        let refused = fixed.set_learning_rate(rate);
        assert!(matches!(failure(&refused), Some(ConfigError { .. })), "{refused:?}");
    }
    assert_eq!(fixed.config(), &config);
    // The end of a schedule.
    fixed.set_learning_rate(0.0).unwrap();
    let (rested, step) = fixed.step_on(&start, &objective).unwrap();
    assert_eq!((rested.values(), step.length), (start.values(), 0.0));
}

/// After an error the next step is the one that would have been.
#[test]
fn errors_leave_the_optimizer_as_it_was() {
    let device = Device::default().autodiff();
    let (model, batch) = (Classifier::new(1, &device), samples(12, 101, &device));
    let objective: Objective<B> = Objective::capture(&model, batch.clone(), cross_entropy).unwrap();
    let objective = objective.in_f64().unwrap().reduced_by(Reduction::Mean).unwrap();
    let mut one = HessianFreeConfig::new().init(&objective).unwrap();
    let (model, _) = one.step(&model, batch.clone()).unwrap();
    let mut other = one.clone();

    let nan = (batch.0.clone() * f32::NAN, batch.1.clone());
    let refused = one.step(&model, nan);
    assert!(matches!(failure(&refused), Some(ObjectiveError::NotFiniteLoss { .. })), "{refused:?}");
    assert!(one.step(&model, batch.0.clone()).is_err()); // no classes
    let empty = (batch.0.clone().slice([0..0, 0..4]), batch.1.clone().slice(0..0));
    assert!(one.step(&model, empty).is_err());
    let stranger = LinearConfig::new(4, 3).init(&device);
    let refused = one.step(&stranger, batch.clone());
    assert!(matches!(failure(&refused), Some(ObjectiveError::OtherModel { .. })), "{refused:?}");
    let refused = one.step(&Classifier::new(1, &device), batch.clone());
    assert!(matches!(failure(&refused), Some(VectorError::LayoutMismatch { .. })), "{refused:?}");

    let (first, a) = one.step(&model, batch.clone()).unwrap();
    let (second, b) = other.step(&model, batch).unwrap();
    let read = |model: &Classifier| {
        burn_curvature::ParamVector::<B>::from_module(model).unwrap().to_vec().unwrap()
    };
    assert_eq!((a, read(&first)), (b, read(&second)));
}

/// A model of another shape at the second step.
#[test]
fn models_of_another_shape() {
    let start = Point::at(&[-1.2, 1.0]);
    let mut optimizer = NewtonCgConfig::new().init(&objective(&start, rosenbrock)).unwrap();
    optimizer.step(&start, number(1.0)).unwrap();
    assert!(optimizer.step(&Point::at(&[-1.2, 1.0, 3.0]), number(1.0)).is_err());
    assert!(optimizer.step(&start, number(1.0)).is_ok());
    assert_eq!(optimizer.state().unwrap().step(), 2);
}

#[test]
fn objectives_without_what_a_method_needs() {
    let device = Device::default().autodiff();
    let (model, batch) = (Classifier::new(1, &device), samples(12, 101, &device));
    let plain: Objective<B> = Objective::capture(&model, batch.clone(), cross_entropy).unwrap();
    // Squared gradients of samples need to know whether the loss is a sum or a mean.
    let refused = HessianFreeConfig::new().init(&plain);
    assert!(matches!(failure(&refused), Some(ObjectiveError::NoReduction)), "{refused:?}");
    assert!(HessianFreeConfig::new().with_probes(0).init(&plain).is_ok());
    // A stochastic series needs several batches.
    let mut lissa = LissaNewtonConfig::new().init(&plain).unwrap();
    let refused = lissa.step(&model, batch);
    assert_eq!(failure(&refused), Some(&OptimizerError::OneBatch));
}

#[derive(Module, Debug)]
struct Noisy {
    layer: Linear,
    dropout: Dropout,
}

/// Layers in training mode change the loss from one evaluation to the next; in evaluation mode they do not.
#[test]
fn models_in_training_mode() {
    let device = Device::default().autodiff();
    let model = Noisy {
        layer: LinearConfig::new(2, 1).init(&device),
        dropout: DropoutConfig::new(0.5).init(),
    };
    let x = Tensor::<2>::from_floats([[1.0, 2.0], [-1.0, 0.5], [0.3, 0.2]], &device);
    let loss = |model: &Noisy, x: Tensor<2>| {
        let z = model.layer.forward(model.dropout.forward(x));
        z.clone() * z - 1.0
    };
    let objective: Objective<B> = CaptureConfig::new()
        .evaluation()
        .init(&model, x.clone(), move |model: &Noisy, x| loss(model, x).mean())
        .unwrap();
    let mut optimizer = NewtonCgConfig::new().with_damping(0.1).init(&objective).unwrap();
    let refused = optimizer.step(&model, x.clone());
    assert!(
        matches!(failure(&refused), Some(OptimizerError::TrainingMode { layers: 1, .. })),
        "{refused:?}"
    );
    let (_, step) = optimizer.step_on(&model, &objective.on(x).unwrap()).unwrap();
    assert!(step.is_taken(), "{step}");
}
