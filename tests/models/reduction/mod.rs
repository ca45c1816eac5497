//! What a loss is a mean of: said by the closure, or proven from its program; and whether it is that of a likelihood.
//! Samples that depend on each other.

mod coupled;
mod likelihoods;
mod pairs;
mod proven;
mod said;

use burn::{
    module::{Module, Param},
    nn::loss::CrossEntropyLossConfig,
    prelude::*,
    tensor::activation::log_softmax,
};
use burn_curvature::{Error, Loss, Objective, errors::ObjectiveError};

/// Logits that are one bias for all tokens.
#[derive(Module, Debug)]
struct Logits {
    bias: Param<Tensor<1>>,
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn logits(bias: [f64; 3]) -> Logits {
    Logits { bias: Param::from_tensor(Tensor::from_data(TensorData::from(bias), &device())) }
}

impl Logits {
    fn forward(&self, tokens: usize) -> Tensor<2> {
        self.bias.val().unsqueeze::<2>().expand([tokens, 3])
    }
}

type Labels = Tensor<1, Int>;

fn labels<const N: usize>(labels: [i64; N]) -> Labels {
    Tensor::from_ints(labels, &device())
}

const PAD: i64 = 2;

/// The mean over the tokens that are not padding, as Burn computes it.
fn padded(model: &Logits, labels: Labels) -> Tensor<1> {
    let z = model.forward(labels.dims()[0]);
    let loss = CrossEntropyLossConfig::new().with_pad_tokens(Some(vec![PAD as usize]));
    loss.init(&z.device()).forward(z, labels)
}

/// −log p of every token, weighted, and the weights.
fn weighted(z: Tensor<2>, labels: Labels, weights: Tensor<1>) -> Loss {
    let losses = -log_softmax(z, 1).gather(1, labels.unsqueeze_dim(1)).squeeze_dim::<1>(1);
    Loss::weighted((losses * weights.clone()).sum(), weights.sum())
}

/// The same, said.
fn padded_and_said(model: &Logits, labels: Labels) -> (Tensor<2>, Loss) {
    let z = model.forward(labels.dims()[0]);
    let counts = labels.clone().not_equal_scalar(PAD).float();
    (z.clone(), weighted(z, labels, counts))
}

/// Classes 0 and 1 with the weights 1 and 3.
fn class_weights(model: &Logits, labels: Labels) -> Tensor<1> {
    let z = model.forward(labels.dims()[0]).narrow(1, 0, 2);
    let loss = CrossEntropyLossConfig::new().with_weights(Some(vec![1.0, 3.0]));
    loss.init(&z.device()).forward(z, labels)
}

fn class_weights_said(model: &Logits, labels: Labels) -> Loss {
    let z = model.forward(labels.dims()[0]).narrow(1, 0, 2);
    let weights = labels.clone().float() * 2.0 + 1.0;
    weighted(z, labels, weights)
}

fn not_reduced<T>(result: Result<T, Error>) -> String {
    let error = result.map(drop).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(ObjectiveError::NotReducedSo { .. })), "{error}");
    error.to_string()
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12 * b.abs().max(1.0), "{a} for {b}");
}

const THETA: [f64; 3] = [0.0, std::f64::consts::LN_2, 1.609_437_912_434_100_3];

/// Objectives are captured in f32 and then set to the exact θ in f64.
fn at(objective: &Objective, theta: &[f64]) -> Objective {
    let objective = objective.in_f64().unwrap();
    let theta = objective.parameters().space().vector(theta).unwrap();
    objective.at(&theta).unwrap()
}

/// One weight.
#[derive(Module, Debug)]
struct Slope {
    w: Param<Tensor<2>>,
}

fn slope(w: f32) -> Slope {
    Slope { w: Param::from_tensor(Tensor::from_floats([[w]], &device())) }
}
