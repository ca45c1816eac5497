//! The proximal Bregman response against dense references, differences and influences.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, Loss, Objective, Reduction,
    errors::{ConfigError, DeriveError, InfluenceError, ObjectiveError, TruthError},
    influence::{
        Curvature, Estimator, InfluenceConfig,
        truth::{Changes, ProximalBregmanConfig},
    },
};

use super::{
    super::{TRAINING, World, part, vector},
    kind,
};
use crate::{
    classifier::samples,
    compare::relative_error,
    dense::{Rows, dot},
    oracle::solve,
    random::SplitMix64,
};

#[derive(Module, Debug)]
struct Line {
    w: Param<Tensor<2>>,
}

/// Squared errors of a linear model: D is quadratic and equal to the Gauss-Newton form.
#[test]
fn the_response_of_a_linear_model_solves_a_linear_system() {
    let (rows, damping, seed) = (12, 0.05, 4);
    let device = Device::default().autodiff();
    let mut numbers = SplitMix64::new(seed);
    let features: Vec<f64> = numbers.normals(rows * 3);
    let targets: Vec<f64> = numbers.normals(rows);
    let tensor = |values: &[f64], shape: [usize; 2]| {
        Tensor::<2>::from_data(
            TensorData::new(values.to_vec(), shape),
            (&device, burn::tensor::DType::F32),
        )
    };
    let model = Line { w: Param::from_tensor(tensor(&[0.3, -0.2, 0.7], [3, 1])) };
    let batch = (tensor(&features, [rows, 3]), tensor(&targets, [rows, 1]));
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let training = Objective::capture(&model, batch.clone(), move |model, (x, y)| {
            let z = x.matmul(model.w.val());
            let losses = ((z.clone() - y).powf_scalar(2.0) * 0.5).squeeze_dim::<1>(1);
            let mean = matches!(reduction, Reduction::Mean);
            (z, if mean { Loss::mean_of(losses) } else { Loss::sum_of(losses) })
        });
        let training = training.unwrap().in_f64().unwrap();
        let c = if matches!(reduction, Reduction::Mean) { 1.0 / rows as f64 } else { 1.0 };
        let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-13);
        let config =
            ProximalBregmanConfig::new(damping).with_solver(solver).with_relative_tolerance(1e-11);
        let response = config.init(&training).unwrap();
        let (left, w) = (5, vector(training.parameters()));
        let x = |n: usize| -> Vec<f64> {
            features[3 * n..3 * n + 3].iter().map(|x| f64::from(*x as f32)).collect()
        };
        let residual = dot(&x(left), &w) - f64::from(targets[left] as f32);
        let matrix: Rows = (0..3)
            .map(|i| {
                let entry = |j| {
                    let kept = (0..rows).filter(|&n| n != left);
                    kept.map(|n| c * x(n)[i] * x(n)[j]).sum::<f64>()
                        + if i == j { damping } else { 0.0 }
                };
                (0..3).map(entry).collect()
            })
            .collect();
        let rhs: Vec<f64> = x(left).iter().map(|x| c * residual * x).collect();
        let expected = solve(&matrix, &rhs);
        let found = response.without(&[left]).unwrap().minimize().unwrap();
        assert!(found.remaining <= 1e-11 && found.steps <= 3, "{found:?}");
        let moved = found.parameters.sub(training.parameters()).unwrap();
        assert!(relative_error(&vector(&moved), &expected) < 1e-10);
    }
}

#[derive(Module, Debug)]
struct Rate {
    w: Param<Tensor<1>>,
}

/// Two counts with rates eʷ and eʷ⁻¹⁰, at w = 0: the first Newton step leads to w ≈ 4000, where the loss overflows.
#[test]
fn a_step_to_infinity_is_halved() {
    let device = Device::default().autodiff();
    let model = Rate { w: Param::from_tensor(Tensor::from_floats([0.0], &device)) };
    let shift = Tensor::<1>::from_floats([0.0, -10.0], &device);
    let training = Objective::capture(&model, shift, |model, shift| {
        let z = model.w.val().expand([2]) + shift;
        (z.clone(), Loss::mean_of(z.exp()))
    });
    let training = training.unwrap().in_f64().unwrap();
    let damping = 1e-4;
    let response = ProximalBregmanConfig::new(damping).init(&training).unwrap();
    let found = response.without(&[0]).unwrap().minimize().unwrap();
    // The derivative of ½(eʷ⁻¹⁰ − e⁻¹⁰(1 + w)) − ½(1 + w) + ½λw², which rises.
    let slope = |w: f64| 0.5 * ((w - 10.0).exp() - (-10.0_f64).exp()) - 0.5 + damping * w;
    let (mut low, mut high) = (0.0, 20.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    let w = vector(&found.parameters)[0];
    assert!((w - low).abs() < 1e-5, "{w} {low}");
}

#[test]
fn the_gradient_is_that_of_the_value() {
    let world = World::new(6);
    let halves = [part(&world.train, 0, 11), part(&world.train, 11, TRAINING)];
    let over = world.training.over(halves, Reduction::Mean).unwrap();
    let mut values = Vec::new();
    for training in [&world.training, &over] {
        let response = ProximalBregmanConfig::new(0.1).init(training).unwrap();
        let objective = response.without(&[3, 17]).unwrap();
        let space = training.parameters().space();
        let mut numbers = SplitMix64::new(2);
        let mut normal = |scale: f64| {
            let drawn: Vec<f64> = numbers.normals(space.len()).iter().map(|n| scale * n).collect();
            space.vector(&drawn).unwrap()
        };
        let at = objective.start().clone().add(&normal(0.3)).unwrap();
        let direction = normal(1.0);
        let value = |t: f64| {
            let moved = at.clone().axpy(t, &direction).unwrap();
            objective.value_and_gradient(&moved).unwrap().value
        };
        let slope = (value(1e-5) - value(-1e-5)) / 2e-5;
        let found = objective.value_and_gradient(&at).unwrap();
        let exact = found.gradient.dot(&direction).unwrap();
        assert!((slope - exact).abs() < 1e-8 * exact.abs().max(1.0), "{slope} {exact}");
        values.push((found.value, vector(&found.gradient)));
        // With all samples in place the objective is stationary at the start: D and its gradient are 0 there.
        let start = objective.value_and_gradient(objective.start()).unwrap();
        let group = world.gradients(&world.train, TRAINING);
        let expected: Vec<f64> =
            (0..space.len()).map(|i| -(group[3][i] + group[17][i]) / TRAINING as f64).collect();
        assert!(relative_error(&vector(&start.gradient), &expected) < 1e-10);
    }
    assert!((values[0].0 - values[1].0).abs() < 1e-12);
    assert!(relative_error(&values[1].1, &values[0].1) < 1e-11);
}

/// Influences by the damped Gauss-Newton matrix are its first order: for more damping the two come together, as 1/λ.
#[test]
fn influences_are_its_first_order() {
    let world = World::new(7);
    let groups: Vec<Vec<usize>> = (0..TRAINING).step_by(4).map(|n| vec![n]).collect();
    let error = |damping: f64| {
        let config = ProximalBregmanConfig::new(damping).with_relative_tolerance(1e-9);
        let truth = config.init(&world.training).unwrap();
        let truth: Changes = truth.leave_out(&groups, &world.queries).unwrap();
        let scores = InfluenceConfig::new(Estimator::Dense(DirectConfig::new()))
            .with_curvature(Curvature::GaussNewton)
            .with_damping(damping)
            .init(&world.training)
            .unwrap()
            .scores(&world.queries)
            .unwrap();
        let predicted: Vec<f64> =
            scores.of_groups(&groups).unwrap().into_iter().flatten().collect();
        let truth: Vec<f64> = truth.rows().flatten().copied().collect();
        relative_error(&predicted, &truth)
    };
    let (near, far) = (error(100.0), error(10.0));
    assert!(near < 1e-2 && near < far / 5.0, "{near} {far}");
}

#[test]
fn bad_questions_are_refused() {
    let world = World::new(8);
    let init = |config: ProximalBregmanConfig| config.init(&world.training).unwrap_err();
    assert_eq!(kind::<ConfigError>(&init(ProximalBregmanConfig::new(0.0))).field, "damping");
    let steps = ProximalBregmanConfig::new(1.0).with_max_steps(0);
    assert_eq!(kind::<ConfigError>(&init(steps)).field, "max_steps");
    let response = ProximalBregmanConfig::new(0.1).init(&world.training).unwrap();
    let error = response.without(&[TRAINING]).unwrap_err();
    assert!(matches!(kind(&error), InfluenceError::NoSuchSample { .. }));
    let all: Vec<usize> = (0..TRAINING).collect();
    let error = response.without(&all).unwrap_err();
    assert!(matches!(kind(&error), InfluenceError::NothingLeft { .. }));
    let plain = ProximalBregmanConfig::new(0.1).init(&world.plain).unwrap_err();
    assert!(matches!(kind(&plain), ObjectiveError::NoSampleLosses { .. }));
    // One step is not enough here, and says so.
    let hasty = ProximalBregmanConfig::new(1e-3).with_max_steps(1).with_relative_tolerance(1e-10);
    let hasty = hasty.init(&world.training).unwrap();
    let error = hasty.without(&[2]).unwrap().minimize().unwrap_err();
    assert!(matches!(kind(&error), TruthError::NoResponse { steps: 1, .. }), "{error}");
    let device = Device::default().autodiff();
    let alone = Objective::capture(&world.model, samples(4, 1, &device), |model, batch| {
        super::super::mean_of_losses(model, batch).1
    });
    let error = ProximalBregmanConfig::new(0.1).init(&alone.unwrap()).unwrap_err();
    assert!(matches!(kind(&error), DeriveError::NoOutputs), "{error}");
}
