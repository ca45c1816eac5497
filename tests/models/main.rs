//! Objectives of Burn models, their products, curvature operators, K-FAC and its optimizer: against closed forms, finite
//! differences in f64, dense references, the other engine, and laws.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(deprecated)] // Burn deprecates NdArray but still ships it.

mod capture;
#[path = "../support/classifier.rs"]
mod classifier;
#[path = "../support/compare.rs"]
mod compare;
mod curvature;
#[path = "../support/dense.rs"]
mod dense;
#[path = "../support/digits.rs"]
mod digits;
#[path = "../support/failure.rs"]
mod failure;
mod kfac;
#[path = "../support/models/mod.rs"]
mod models;
mod operations;
mod optim;
#[path = "../support/plain.rs"]
mod plain;
mod products;
mod programs;
#[path = "../support/random.rs"]
mod random;
mod reduction;
mod reference;
mod values;

use burn::{
    backend::{Autodiff, Flex},
    module::Module,
    prelude::*,
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Batch, CaptureConfig, KfacConfig, LinearOperator, Objective, ParamVector, Reduction,
    backend::ProgramBackend, kfac::KfacFisher, materialize, operator::DenseMatrix,
};
use classifier::{Classifier, Samples, cross_entropy, samples, summed_cross_entropy};
use dense::transposed;
use models::Case;

/// The backend of most tests.
type B = Autodiff<Flex>;

/// K-FAC by the exact Fisher matrix of the outputs, however many there are.
fn without_draws() -> KfacConfig {
    KfacConfig::new().with_fisher(KfacFisher::Exact)
}

/// ‖a − b‖ / ‖b‖
fn relative_error<B: AutodiffBackend>(a: &ParamVector<B>, b: &ParamVector<B>) -> f64 {
    a.clone().sub(b).unwrap().norm().unwrap() / b.norm().unwrap()
}

/// ‖A − B‖ / ‖B‖ in the Frobenius norm.
fn matrix_error(a: &DenseMatrix, b: &[Vec<f64>]) -> f64 {
    let (mut difference, mut whole) = (0.0, 0.0);
    for (x, y) in a.values().iter().zip(b.iter().flatten()) {
        difference += (x - y).powi(2);
        whole += y.powi(2);
    }
    (difference / whole).sqrt()
}

/// The rows of an operator.
fn rows(operator: &impl LinearOperator<B>) -> Vec<Vec<f64>> {
    let matrix = materialize(operator).unwrap();
    let rows = matrix.values().chunks(matrix.columns());
    rows.map(<[f64]>::to_vec).collect()
}

/// A reference model's objective in f64.
fn in_f64<T, M, X>(case: Case<M, X>) -> Objective<T>
where
    T: AutodiffBackend,
    T::InnerBackend: ProgramBackend,
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    let objective =
        Objective::capture_with(&CaptureConfig::new(), &case.model, case.batch, case.loss).unwrap();
    objective.in_f64().unwrap()
}

/// The classifier's objective in f64 on some samples.
fn classifier(seed: u64, count: usize) -> Objective<B> {
    let device = Device::flex().autodiff();
    let model = Classifier::new(seed, &device);
    let batch = samples(count, seed + 100, &device);
    let objective = Objective::capture_with(&CaptureConfig::new(), &model, batch, cross_entropy);
    objective.unwrap().in_f64().unwrap().reduced_by(Reduction::Mean).unwrap()
}

/// ∂z/∂θ by central differences of the outputs; rows are outputs.
fn jacobian_by_differences(objective: &Objective<B>) -> Vec<Vec<f64>> {
    let theta = objective.parameters().to_vec().unwrap();
    let h = 1e-5;
    let columns: Vec<Vec<f64>> = (0..theta.len())
        .map(|column| {
            let outputs = |step: f64| {
                let mut moved = theta.clone();
                moved[column] += step;
                let moved = objective.parameters().space().vector(&moved).unwrap();
                objective.at(&moved).unwrap().outputs().unwrap().to_vec().unwrap()
            };
            let (up, down) = (outputs(h), outputs(-h));
            up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * h)).collect()
        })
        .collect();
    transposed(&columns)
}

/// softmax of every row of three.
fn probabilities(outputs: &[f64]) -> Vec<f64> {
    outputs
        .chunks(3)
        .flat_map(|row| {
            let total: f64 = row.iter().map(|z| z.exp()).sum();
            row.iter().map(move |z| z.exp() / total).collect::<Vec<_>>()
        })
        .collect()
}
