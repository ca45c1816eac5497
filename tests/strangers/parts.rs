//! Layers, parameters and losses that several models have.

use burn::{
    module::Param,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    prelude::*,
};

use crate::stranger::{device, normal};

/// A linear layer with a bias.
pub fn linear(inputs: usize, outputs: usize) -> Linear {
    LinearConfig::new(inputs, outputs).init(&device())
}

/// A parameter of normal values.
pub fn weights<const D: usize>(shape: [usize; D], seed: u64) -> Param<Tensor<D>> {
    Param::from_tensor(normal(shape, seed))
}

/// A parameter of one number.
pub fn scalar(value: f32) -> Param<Tensor<1>> {
    Param::from_tensor(Tensor::full([1], value, &device()))
}

/// Mean cross-entropy with its logits.
pub fn classified(logits: Tensor<2>, targets: Tensor<1, Int>) -> (Tensor<2>, Tensor<1>) {
    let loss = CrossEntropyLossConfig::new().init(&logits.device());
    (logits.clone(), loss.forward(logits, targets))
}
