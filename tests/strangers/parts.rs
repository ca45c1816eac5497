//! Layers, parameters and losses that several models have.

use burn::{
    module::Param,
    nn::{Linear, LinearConfig},
    prelude::*,
};

pub use crate::networks::classified;
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
