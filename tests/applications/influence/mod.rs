//! Influence functions against dense references, closed forms and retraining, in f64.

mod attack;
mod closed_forms;
mod drawn;
mod edges;
mod eigenbasis;
mod estimators;
mod observed;
mod ragged;
mod refusals;
mod reports;
mod results;
mod retraining;
mod statistics;
mod store;
mod store_runs;
mod truth;

use burn::{prelude::*, tensor::activation::log_softmax};
use burn_curvature::{
    Hessian, LinearOperator, Loss, Objective, ParamVector, Reduction, materialize,
    operator::DenseMatrix,
};

use crate::{
    classifier::{Classifier, Samples, samples, summed_cross_entropy},
    dense::{Rows, dot},
    oracle::solve,
};

/// Training samples and test samples.
const TRAINING: usize = 30;
const TEST: usize = 5;

/// Logits, and the mean of the samples' cross-entropies.
fn mean_of_losses(model: &Classifier, batch: Samples) -> (Tensor<2>, Loss) {
    let (z, losses) = losses(model, batch);
    (z, Loss::mean_of(losses))
}

fn sum_of_losses(model: &Classifier, batch: Samples) -> (Tensor<2>, Loss) {
    let (z, losses) = losses(model, batch);
    (z, Loss::sum_of(losses))
}

fn losses(model: &Classifier, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let z = model.forward(x);
    (z.clone(), losses_of(z, y))
}

/// The cross-entropy of each sample, from its logits.
fn losses_of(z: Tensor<2>, y: Tensor<1, Int>) -> Tensor<1> {
    -log_softmax(z, 1).gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1)
}

/// Rows `from..to` of samples.
fn part((x, y): &Samples, from: usize, to: usize) -> Samples {
    (x.clone().slice([from..to, 0..4]), y.clone().narrow(0, from, to - from))
}

/// A classifier with training and test samples, and the same by a loss that is a plain sum.
struct World {
    model: Classifier,
    train: Samples,
    test: Samples,
    training: Objective,
    queries: Objective,
    plain: Objective,
}

impl World {
    fn new(seed: u64) -> Self {
        let device = Device::default().autodiff();
        let model = Classifier::new(seed, &device);
        let (train, test) =
            (samples(TRAINING, seed + 10, &device), samples(TEST, seed + 20, &device));
        let capture = |batch: &Samples| {
            Objective::capture(&model, batch.clone(), mean_of_losses).unwrap().in_f64().unwrap()
        };
        let plain = Objective::capture(&model, train.clone(), summed_cross_entropy).unwrap();
        Self {
            training: capture(&train),
            queries: capture(&test),
            plain: plain.in_f64().unwrap(),
            model,
            train,
            test,
        }
    }

    /// ∇ℓ of each sample, by objectives of one sample each.
    fn gradients(&self, batch: &Samples, count: usize) -> Rows {
        let of_sample = |n: usize| self.plain.on(part(batch, n, n + 1)).unwrap();
        (0..count).map(|n| vector(&of_sample(n).gradient().unwrap())).collect()
    }

    /// c·∇fᵀ A⁻¹ ∇ℓₙ by elimination, for A = C + λI.
    fn reference(&self, curvature: &Rows, damping: f64) -> Rows {
        let damped = damped(curvature, damping);
        let gradients = self.gradients(&self.train, TRAINING);
        let of_query = |f: &Vec<f64>| {
            let s = solve(&damped, f);
            gradients.iter().map(|g| dot(g, &s) / TRAINING as f64).collect()
        };
        self.gradients(&self.test, TEST).iter().map(of_query).collect()
    }

    /// ∇²ℒ of the mean.
    fn hessian(&self) -> Rows {
        let hessian = Hessian::new(&self.plain).unwrap().scaled(1.0 / TRAINING as f64).unwrap();
        rows(&materialize(&hessian).unwrap())
    }

    /// The mean over the samples as a plain scalar, with its reduction stated.
    fn plain_mean(&self) -> Objective {
        let mean = Objective::capture(&self.model, self.train.clone(), |model, (x, y): Samples| {
            let (z, losses) = losses(model, (x, y));
            (z, losses.mean())
        });
        mean.unwrap().in_f64().unwrap().reduced_by(Reduction::Mean).unwrap()
    }
}

fn vector(vector: &ParamVector) -> Vec<f64> {
    vector.to_vec().unwrap()
}

fn rows(matrix: &DenseMatrix) -> Rows {
    matrix.values().chunks(matrix.columns()).map(<[f64]>::to_vec).collect()
}

fn damped(matrix: &Rows, damping: f64) -> Rows {
    let mut damped = matrix.clone();
    (0..damped.len()).for_each(|i| damped[i][i] += damping);
    damped
}
