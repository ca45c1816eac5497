//! Logistic regression at its optimum has the curvature of its closed form.

use burn::{nn::loss::BinaryCrossEntropyLossConfig, prelude::*, tensor::activation::log_sigmoid};
use burn_curvature::Objective;

use super::converged::{Weight, normals, relative_error, solved, weight};
use crate::random::SplitMix64;

/// At its optimum Burn's gradient of this loss is 3.0e-8 and the recorded one 0.
#[test]
fn logistic_regression_of_three_points_has_its_curvature_at_the_optimum() {
    let device = Device::flex().autodiff();
    let model = weight(&[-0.192_377_66], &device);
    let points = [1.0f64, 2.0, 0.5];
    let x = Tensor::<2>::from_floats([[1.0], [2.0], [0.5]], &device);
    let y = Tensor::<2>::from_floats([[1.0], [0.0], [1.0]], &device);
    let objective = Objective::capture(&model, (x, y), |model: &Weight, (x, y)| {
        let z: Tensor<2> = x.matmul(model.w.val());
        let y: Tensor<2> = y;
        (log_sigmoid(z.clone()) * y.clone() + log_sigmoid(-z) * (-y + 1.0)).mean().neg()
    })
    .unwrap();
    let v = objective.parameters().space().ones();
    let found = objective.hessian_vector_product(&v).unwrap().to_vec().unwrap()[0];
    let p = |x: f64| 1.0 / (1.0 + (0.192_377_656 * x).exp());
    let expected = points.iter().map(|x| p(*x) * (1.0 - p(*x)) * x * x).sum::<f64>() / 3.0;
    assert!((found / expected - 1.0).abs() < 1e-5, "{found} and {expected}");
}

/// The minimizer of mean cross-entropy + 0.005 Σw² by Newton's method in f64, and the Hessian there.
fn logistic_optimum(x: &[f64], y: &[f64], columns: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut w = vec![0.0; columns];
    loop {
        let mut gradient: Vec<f64> = w.iter().map(|w| 0.01 * w).collect();
        let mut hessian = vec![vec![0.0; columns]; columns];
        (0..columns).for_each(|i| hessian[i][i] = 0.01);
        for (row, y) in x.chunks(columns).zip(y) {
            let z: f64 = row.iter().zip(&w).map(|(x, w)| x * w).sum();
            let p = 1.0 / (1.0 + (-z).exp());
            for i in 0..columns {
                gradient[i] += (p - y) * row[i] / 64.0;
                for j in 0..columns {
                    hessian[i][j] += p * (1.0 - p) * row[i] * row[j] / 64.0;
                }
            }
        }
        if gradient.iter().map(|g| g * g).sum::<f64>().sqrt() < 1e-13 {
            return (w, hessian);
        }
        let step = solved(&hessian, &gradient);
        w.iter_mut().zip(step).for_each(|(w, step)| *w -= step);
    }
}

#[test]
fn logistic_regression_has_its_curvature_at_the_optimum_for_every_seed() {
    let device = Device::flex().autodiff();
    for seed in 0..10 {
        let mut numbers = SplitMix64::new(seed);
        let x = normals(&mut numbers, [64, 5], &device);
        let labels: Vec<i32> = (0..64).map(|_| i32::from(numbers.uniform() < 0.5)).collect();
        let rows: Vec<f64> = x.to_data().iter::<f64>().collect();
        let targets: Vec<f64> = labels.iter().map(|y| f64::from(*y)).collect();
        let (w, hessian) = logistic_optimum(&rows, &targets, 5);
        let model = weight(&w.iter().map(|w| *w as f32).collect::<Vec<_>>(), &device);
        let y = Tensor::<1, Int>::from_ints(labels.as_slice(), &device).reshape([64, 1]);
        let objective = Objective::capture(&model, (x, y), |model: &Weight, (x, y)| {
            let z: Tensor<2> = x.matmul(model.w.val());
            let y: Tensor<2, Int> = y;
            let config = BinaryCrossEntropyLossConfig::new().with_logits(true);
            let loss = config.init(&z.device()).forward(z, y);
            loss + model.w.val().powi_scalar(2).sum() * 0.005
        });
        let objective = objective.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let v = objective.parameters().space().ones();
        let found = objective.hessian_vector_product(&v).unwrap().to_vec().unwrap();
        let expected: Vec<f64> = hessian.iter().map(|row| row.iter().sum()).collect();
        assert!(relative_error(&found, &expected) < 1e-4, "seed {seed}: {found:?} {expected:?}");
    }
}
