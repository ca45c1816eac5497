//! Jacobian, Gauss-Newton and Fisher operators and objectives over data sets, against closed forms, finite differences
//! in f64, the other engine, and laws.
#![allow(deprecated)] // Burn deprecates NdArray but still ships it.
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)]

mod data;
#[path = "../failure/mod.rs"]
mod failure;
mod fisher;
mod gauss_newton;
mod jacobian;
mod kfac;
mod refusals;
#[path = "../../examples/support/mod.rs"]
mod support;

use burn::{
    backend::{Autodiff, Flex},
    module::Module,
    prelude::*,
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Batch, CaptureConfig, DenseMatrix, LinearOperator, Objective, ParamVector, Reduction,
    TensorBridge, materialize,
};
use support::models::Case;

/// The backend of most tests.
pub type B = Autodiff<Flex>;

/// ‖a − b‖ / ‖b‖
pub fn relative_error<B: AutodiffBackend>(a: &ParamVector<B>, b: &ParamVector<B>) -> f64 {
    a.clone().sub(b).unwrap().norm().unwrap() / b.norm().unwrap()
}

/// ‖A − B‖ / ‖B‖ of matrices, by Frobenius.
pub fn matrix_error(a: &DenseMatrix, b: &[Vec<f64>]) -> f64 {
    let (mut difference, mut whole) = (0.0, 0.0);
    for (x, y) in a.values().iter().zip(b.iter().flatten()) {
        difference += (x - y).powi(2);
        whole += y.powi(2);
    }
    (difference / whole).sqrt()
}

/// The rows of an operator.
pub fn rows(operator: &impl LinearOperator<B>, like: &ParamVector<B>) -> Vec<Vec<f64>> {
    let matrix = materialize(operator, like).unwrap();
    let rows = matrix.values().chunks(matrix.columns());
    rows.map(<[f64]>::to_vec).collect()
}

/// A reference model's objective in f64.
pub fn in_f64<T, M, X>(case: Case<M, X>) -> Objective<T>
where
    T: AutodiffBackend,
    T::InnerBackend: TensorBridge,
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    let objective =
        Objective::capture_with(&CaptureConfig::new(), &case.model, case.batch, case.loss).unwrap();
    objective.in_f64().unwrap()
}

/// Three classes from four features by one hidden layer; 43 parameters, 7 samples.
#[derive(Module, Debug)]
pub struct Classifier {
    hidden: nn::Linear,
    output: nn::Linear,
}

impl Classifier {
    pub fn new(seed: u64, device: &Device) -> Self {
        let mut numbers = support::random::SplitMix64::new(seed);
        let mut layer = |input: usize, output: usize| {
            let mut layer = nn::LinearConfig::new(input, output).init(device);
            let mut fill =
                |count: usize| -> Vec<f32> { (0..count).map(|_| numbers.symmetric(0.8)).collect() };
            let weight = TensorData::new(fill(input * output), [input, output]);
            let bias = TensorData::new(fill(output), [output]);
            layer.weight = burn::module::Param::from_data(weight, device);
            layer.bias = Some(burn::module::Param::from_data(bias, device));
            layer
        };
        Self { hidden: layer(4, 5), output: layer(5, 3) }
    }

    pub fn hidden_weight(&self) -> Tensor<2> {
        self.hidden.weight.val()
    }

    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = burn::tensor::activation::tanh(self.hidden.forward(x));
        self.output.forward(hidden)
    }
}

/// Features and classes of some samples.
pub fn samples(count: usize, seed: u64, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let mut numbers = support::random::SplitMix64::new(seed);
    let x: Vec<f32> = (0..4 * count).map(|_| numbers.symmetric(1.5)).collect();
    let y: Vec<i64> = (0..count).map(|_| numbers.below(3) as i64).collect();
    (
        Tensor::from_data(TensorData::new(x, [count, 4]), device),
        Tensor::from_data(TensorData::new(y, [count]), device),
    )
}

pub type Samples = (Tensor<2>, Tensor<1, Int>);

/// Mean cross-entropy.
pub fn cross_entropy(model: &Classifier, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let z = model.forward(x);
    let loss = nn::loss::CrossEntropyLossConfig::new().init(&z.device()).forward(z.clone(), y);
    (z, loss)
}

/// Cross-entropy, summed over samples.
pub fn summed_cross_entropy(model: &Classifier, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let rows = x.dims()[0] as f64;
    let (z, loss) = cross_entropy(model, (x, y));
    (z, loss * rows)
}

/// The classifier's objective in f64 on some samples.
pub fn classifier(seed: u64, count: usize) -> Objective<B> {
    let device = Device::flex().autodiff();
    let model = Classifier::new(seed, &device);
    let batch = samples(count, seed + 100, &device);
    let objective = Objective::capture_with(&CaptureConfig::new(), &model, batch, cross_entropy);
    objective.unwrap().in_f64().unwrap().reduced_by(Reduction::Mean).unwrap()
}

/// ∂z/∂θ by central differences of the outputs; rows are outputs.
pub fn jacobian_by_differences(objective: &Objective<B>) -> Vec<Vec<f64>> {
    let theta = objective.parameters().to_vec().unwrap();
    let h = 1e-5;
    let columns: Vec<Vec<f64>> = (0..theta.len())
        .map(|column| {
            let outputs = |step: f64| {
                let mut moved = theta.clone();
                moved[column] += step;
                let moved = objective.parameters().from_vec_like(&moved).unwrap();
                objective.at(&moved).unwrap().outputs().unwrap().to_vec().unwrap()
            };
            let (up, down) = (outputs(h), outputs(-h));
            up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * h)).collect()
        })
        .collect();
    transposed(&columns)
}

pub fn transposed(a: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..a[0].len()).map(|column| a.iter().map(|row| row[column]).collect()).collect()
}

pub fn product(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let b = transposed(b);
    a.iter()
        .map(|row| {
            b.iter().map(|column| row.iter().zip(column).map(|(x, y)| x * y).sum()).collect()
        })
        .collect()
}

/// softmax of every row of three.
pub fn probabilities(outputs: &[f64]) -> Vec<f64> {
    outputs
        .chunks(3)
        .flat_map(|row| {
            let total: f64 = row.iter().map(|z| z.exp()).sum();
            row.iter().map(move |z| z.exp() / total).collect::<Vec<_>>()
        })
        .collect()
}
