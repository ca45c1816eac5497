//! Sign and scale of scores by retraining a logistic regression without each of some samples.

use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::activation::log_softmax,
};
use burn_curvature::{
    DirectConfig, Hessian, LinearSolver, Loss, Objective,
    influence::{Estimator, Influence, InfluenceConfig, Prediction},
};

use crate::{
    classifier::{Samples, samples},
    compare::relative_error,
};

#[derive(Module, Debug)]
struct Logistic {
    w: Param<Tensor<2>>,
}

pub const SAMPLES: usize = 60;

/// Cross-entropies with weight decay in each.
fn losses(model: &Logistic, (x, y): Samples) -> Loss {
    let w = model.w.val();
    let penalty = w.clone().powf_scalar(2.0).sum() * 0.025;
    let z = log_softmax(x.matmul(w), 1);
    Loss::mean_of(-z.gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1) + penalty)
}

/// The objective at its minimum, by Newton's method.
pub fn trained(mut objective: Objective) -> Objective {
    let solver = DirectConfig::new().init().unwrap();
    for _ in 0..12 {
        let gradient = objective.gradient().unwrap();
        if gradient.norm().unwrap() < 1e-13 {
            break;
        }
        let step = solver.solve(&Hessian::new(&objective).unwrap(), &gradient).unwrap();
        let moved = objective.parameters().clone().axpy(-1.0, &step.x).unwrap();
        objective = objective.at(&moved).unwrap();
    }
    assert!(objective.gradient().unwrap().norm().unwrap() < 1e-11);
    objective
}

/// Some of the samples.
pub fn rows_of((x, y): &Samples, rows: &[usize]) -> Samples {
    let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &x.device());
    (x.clone().select(0, indices.clone()), y.clone().select(0, indices))
}

fn without(samples: &Samples, n: usize) -> Samples {
    let kept: Vec<usize> = (0..SAMPLES).filter(|&other| other != n).collect();
    rows_of(samples, &kept)
}

pub struct World {
    pub train: Samples,
    pub training: Objective,
    pub queries: Objective,
    pub influence: Influence,
}

pub fn world(seed: u64) -> World {
    let device = Device::default().autodiff();
    let model = Logistic { w: Param::from_tensor(Tensor::zeros([4, 3], &device)) };
    let (train, test) = (samples(SAMPLES, seed, &device), samples(8, seed + 1, &device));
    let training = Objective::capture(&model, train.clone(), losses).unwrap().in_f64().unwrap();
    let training = trained(training);
    let queries = training.on(test).unwrap();
    let config = InfluenceConfig::new(Estimator::Dense(DirectConfig::new()));
    let influence = config.init(&training).unwrap();
    World { train, training, queries, influence }
}

/// Changes of the test losses by retraining without a sample.
fn retrained(world: &World, n: usize, before: &[f64]) -> Vec<f64> {
    let rest = trained(world.training.on(without(&world.train, n)).unwrap());
    let after = test_losses(&world.queries.at(rest.parameters()).unwrap());
    after.iter().zip(before).map(|(after, before)| after - before).collect()
}

/// By an influence over the test samples, which knows their losses.
fn test_losses(queries: &Objective) -> Vec<f64> {
    let config = InfluenceConfig::new(Estimator::Identity);
    config.init(queries).unwrap().training_losses().unwrap()
}

#[test]
fn scores_are_the_changes_of_a_retraining() {
    for seed in [1, 2, 3] {
        let world = world(seed);
        let before = test_losses(&world.queries);
        let scores = world.influence.scores(&world.queries).unwrap();
        assert!(scores.report.warnings().is_empty(), "{}", scores.report);
        let (mut actual, mut predicted, mut by_newton) = (Vec::new(), Vec::new(), Vec::new());
        for n in (0..SAMPLES).step_by(7) {
            actual.extend(retrained(&world, n, &before));
            predicted.extend(scores.rows().map(|row| row[n]));
            let step = world.influence.newton_step(&[n]).unwrap().step;
            let moved = world.training.parameters().clone().axpy(1.0, &step).unwrap();
            let after = test_losses(&world.queries.at(&moved).unwrap());
            by_newton.extend(after.iter().zip(&before).map(|(after, before)| after - before));
        }
        let square: f64 = predicted.iter().map(|p| p * p).sum();
        let slope = actual.iter().zip(&predicted).map(|(a, p)| a * p).sum::<f64>() / square;
        assert!((0.9..1.2).contains(&slope), "sign and scale: {slope}");
        let largest = actual.iter().fold(0.0, |largest: f64, a| largest.max(a.abs()));
        for (actual, predicted) in actual.iter().zip(&predicted) {
            if actual.abs() > 0.05 * largest {
                assert_eq!(actual.signum(), predicted.signum(), "{actual} {predicted}");
            }
        }
        let first_order = relative_error(&predicted, &actual);
        let newton = relative_error(&by_newton, &actual);
        assert!(newton < 0.2 * first_order, "{newton} {first_order}");
    }
}

/// d f/dε for ℒ + ε·ℓₙ, by a central difference of two retrainings.
#[test]
fn upweighted_scores_are_derivatives_of_a_retraining() {
    let world = world(4);
    let config = InfluenceConfig::new(Estimator::Dense(DirectConfig::new()))
        .with_prediction(Prediction::Upweighted);
    let scores = config.init(&world.training).unwrap().scores(&world.queries).unwrap();
    let (n, epsilon) = (11, 1e-4);
    let (x, y) = &world.train;
    let single = (x.clone().slice([n..n + 1, 0..4]), y.clone().narrow(0, n, 1));
    let single = world.training.on(single).unwrap();
    let solver = DirectConfig::new().init().unwrap();
    let retrained = |epsilon: f64| {
        let (mut whole, mut one) = (world.training.clone(), single.clone());
        for _ in 0..8 {
            let gradient = whole.gradient().unwrap().axpy(epsilon, &one.gradient().unwrap());
            let step = solver.solve(&Hessian::new(&whole).unwrap(), &gradient.unwrap()).unwrap();
            let moved = whole.parameters().clone().axpy(-1.0, &step.x).unwrap();
            (whole, one) = (whole.at(&moved).unwrap(), one.at(&moved).unwrap());
        }
        test_losses(&world.queries.at(whole.parameters()).unwrap())
    };
    let (up, down) = (retrained(epsilon), retrained(-epsilon));
    let slopes: Vec<f64> =
        up.iter().zip(&down).map(|(up, down)| (up - down) / (2.0 * epsilon)).collect();
    let found: Vec<f64> = scores.rows().map(|row| row[n]).collect();
    assert!(relative_error(&found, &slopes) < 1e-6, "{found:?} {slopes:?}");
}

/// df/dx for one input of one training sample, by a central difference of two retrainings.
#[test]
fn input_gradients_are_derivatives_of_a_retraining() {
    let world = world(5);
    let (x, y) = &world.train;
    let some = (x.clone().slice([20..23, 0..4]), y.clone().narrow(0, 20, 3));
    let found = world.influence.input_gradients(&world.queries, some).unwrap();
    assert_eq!(found.gradients.len(), 8);
    assert!(found.report.warnings().is_empty(), "{}", found.report);
    let (n, feature, step) = (21, 2, 2.0_f32.powi(-10));
    let retrained = |change: f32| {
        let place = [n..n + 1, feature..feature + 1];
        let moved = x.clone().slice(place.clone()) + change;
        let moved = x.clone().slice_assign(place, moved);
        let rest = trained(world.training.on((moved, y.clone())).unwrap());
        test_losses(&world.queries.at(rest.parameters()).unwrap())
    };
    let (up, down) = (retrained(step), retrained(-step));
    for (query, (dx, labels)) in found.gradients.iter().enumerate() {
        assert_eq!((dx.dims(), labels.dims()), ([3, 4], [3]));
        let dx: Vec<f64> = dx.to_data().iter::<f64>().collect();
        let slope = (up[query] - down[query]) / (2.0 * f64::from(step));
        assert!((dx[4 + feature] - slope).abs() < 1e-5 * slope.abs().max(1e-3), "{dx:?} {slope}");
    }
}
