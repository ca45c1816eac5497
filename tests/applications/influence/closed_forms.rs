//! Leave-one-out of ridge regression, which is quadratic, and samples that occur twice.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, Loss, Objective,
    influence::{Estimator, InfluenceConfig},
};

use super::{World, part, vector};
use crate::{
    compare::relative_error,
    dense::{Rows, dot},
    oracle::solve,
    random::SplitMix64,
};

#[derive(Module, Debug)]
struct Linear {
    w: Param<Tensor<2>>,
}

type Tensors = (Tensor<2>, Tensor<2>);

const SAMPLES: usize = 12;
const FEATURES: usize = 3;
const DECAY: f64 = 0.3;

/// Samples of a noisy linear map, exact in f32.
struct Ridge {
    x: Rows,
    y: Vec<f64>,
}

impl Ridge {
    fn new(seed: u64) -> Self {
        let mut numbers = SplitMix64::new(seed);
        let mut number = || f64::from(numbers.symmetric(2.0));
        let x = (0..SAMPLES).map(|_| (0..FEATURES).map(|_| number()).collect()).collect();
        Self { x, y: (0..SAMPLES).map(|_| number()).collect() }
    }

    /// The minimum of share·Σ ½(xᵀw − y)² + ½·decay·‖w‖² over some samples.
    fn minimum(&self, samples: &[usize], share: f64) -> Vec<f64> {
        let entry = |i: usize, j: usize| {
            let sum: f64 = samples.iter().map(|&n| self.x[n][i] * self.x[n][j]).sum();
            share * sum + if i == j { DECAY } else { 0.0 }
        };
        let matrix = (0..FEATURES).map(|i| (0..FEATURES).map(|j| entry(i, j)).collect()).collect();
        let right =
            |i: usize| share * samples.iter().map(|&n| self.x[n][i] * self.y[n]).sum::<f64>();
        solve(&matrix, &(0..FEATURES).map(right).collect::<Vec<_>>())
    }

    /// The tensors of all samples.
    fn batch(&self) -> Tensors {
        let device = Device::default().autodiff();
        let data = |values: Vec<f64>, columns: usize| {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, [SAMPLES, columns]), &device)
        };
        (data(self.x.concat(), FEATURES), data(self.y.clone(), 1))
    }

    /// The training objective at its minimum, without the penalty.
    fn objective(&self, minimum: &[f64], mean: bool) -> Objective {
        self.objective_of(&model(), minimum, mean)
    }

    fn objective_of(&self, model: &Linear, minimum: &[f64], mean: bool) -> Objective {
        let objective = Objective::capture(model, self.batch(), move |model, (x, y): Tensors| {
            let losses = (x.matmul(model.w.val()) - y).powf_scalar(2.0).squeeze_dim::<1>(1) * 0.5;
            if mean { Loss::mean_of(losses) } else { Loss::sum_of(losses) }
        });
        let objective = objective.unwrap().in_f64().unwrap();
        let at = objective.parameters().space().vector(minimum).unwrap();
        objective.at(&at).unwrap()
    }
}

fn model() -> Linear {
    let device = Device::default().autodiff();
    Linear { w: Param::from_tensor(Tensor::zeros([FEATURES, 1], &device)) }
}

fn all_but(left_out: &[usize]) -> Vec<usize> {
    (0..SAMPLES).filter(|n| !left_out.contains(n)).collect()
}

fn config() -> InfluenceConfig {
    let cg = ConjugateGradientConfig::new().with_relative_tolerance(1e-14);
    InfluenceConfig::new(Estimator::ConjugateGradient(cg)).with_weight_decay(DECAY)
}

#[test]
fn a_newton_step_is_leave_one_out_of_ridge_regression() {
    for (seed, mean) in [(1, true), (2, false), (3, true), (4, false)] {
        let ridge = Ridge::new(seed);
        let share = |samples: usize| if mean { 1.0 / samples as f64 } else { 1.0 };
        let minimum = ridge.minimum(&all_but(&[]), share(SAMPLES));
        let influence = config().init(&ridge.objective(&minimum, mean)).unwrap();
        assert!(influence.stationarity().remaining < 1e-9, "{:?}", influence.stationarity());
        for group in [vec![0], vec![5], vec![7, 2, 9]] {
            let rest = all_but(&group);
            let retrained = ridge.minimum(&rest, share(rest.len()));
            let exact: Vec<f64> = retrained.iter().zip(&minimum).map(|(a, b)| a - b).collect();
            let removal = influence.newton_step(&group).unwrap();
            assert_eq!(removal.report.solves.unsolved(), None);
            assert!(removal.report.warnings().is_empty(), "{}", removal.report);
            let error = relative_error(&vector(&removal.step), &exact);
            assert!(error < 1e-10, "mean {mean}, {group:?}: {error:e}");
            // To first order only.
            let first_order = influence.influence_step(&group).unwrap();
            assert!(relative_error(&vector(&first_order.step), &exact) > 1e-3);
        }
    }
}

/// Sherman and Morrison: the residual of a sample that is left out is r/(1 − h), with the leverage h = xᵀA⁻¹x.
#[test]
fn leverages_of_ridge_regression() {
    let ridge = Ridge::new(5);
    let minimum = ridge.minimum(&all_but(&[]), 1.0);
    let training = ridge.objective(&minimum, false);
    let dense =
        InfluenceConfig::new(Estimator::Dense(DirectConfig::new())).with_weight_decay(DECAY);
    let influence = dense.init(&training).unwrap();
    let own = influence.self_influence().unwrap();
    let matrix: Rows = (0..FEATURES)
        .map(|i| {
            let entry = |j: usize| {
                let sum: f64 = ridge.x.iter().map(|x| x[i] * x[j]).sum();
                sum + if i == j { DECAY } else { 0.0 }
            };
            (0..FEATURES).map(entry).collect()
        })
        .collect();
    for n in 0..SAMPLES {
        let leverage = dot(&ridge.x[n], &solve(&matrix, &ridge.x[n]));
        let residual = dot(&ridge.x[n], &minimum) - ridge.y[n];
        let expected = leverage * residual * residual;
        assert!((own.scores[n] - expected).abs() < 1e-12 * (1.0 + expected));
        let step = vector(&influence.newton_step(&[n]).unwrap().step);
        let left_out = residual + dot(&ridge.x[n], &step);
        assert!((left_out - residual / (1.0 - leverage)).abs() < 1e-12 * (1.0 + left_out.abs()));
    }
}

#[test]
fn a_penalty_in_the_configuration_is_one_in_every_loss() {
    let ridge = Ridge::new(6);
    let minimum = ridge.minimum(&all_but(&[]), 1.0 / SAMPLES as f64);
    let model = model();
    let outside = ridge.objective_of(&model, &minimum, true);
    let inside = Objective::capture(&model, ridge.batch(), |model, (x, y): Tensors| {
        let w = model.w.val();
        let penalty = w.clone().powf_scalar(2.0).sum() * (0.5 * DECAY);
        let losses = (x.matmul(w) - y).powf_scalar(2.0).squeeze_dim::<1>(1) * 0.5;
        Loss::mean_of(losses + penalty)
    });
    let inside = inside.unwrap().in_f64().unwrap();
    let inside = inside.at(outside.parameters()).unwrap();
    let direction = outside.parameters().space().normal(1);
    let within = config().with_weight_decay(0.0).init(&inside).unwrap();
    let beside = config().init(&outside).unwrap();
    let scores = |influence: &burn_curvature::influence::Influence| {
        let scores = influence.scores(&direction).unwrap();
        assert!(scores.report.warnings().is_empty(), "{}", scores.report);
        scores.values().to_vec()
    };
    assert!(relative_error(&scores(&beside), &scores(&within)) < 1e-7); // DECAY is rounded in f32
    let (a, b) = (beside.newton_step(&[3]).unwrap(), within.newton_step(&[3]).unwrap());
    assert!(relative_error(&vector(&a.step), &vector(&b.step)) < 1e-7);
}

#[test]
fn a_sample_that_occurs_twice_has_equal_scores() {
    let world = World::new(8);
    let (x, y) = &world.train;
    let (first, rest) = (part(&world.train, 3, 4), part(&world.train, 0, 20));
    let batch = (Tensor::cat(vec![rest.0, first.0], 0), Tensor::cat(vec![rest.1, first.1], 0));
    assert_eq!((x.dims()[0], y.dims()[0]), (30, 30));
    let training = world.training.on(batch).unwrap();
    let config = config().with_damping(0.5);
    let scores = config.init(&training).unwrap().scores(&world.queries).unwrap();
    for row in scores.rows() {
        assert!((row[3] - row[20]).abs() < 1e-13 * row[3].abs());
        assert!((row[3] - row[4]).abs() > 1e-6 * row[3].abs());
    }
}
