//! What an objective takes from a model: which tensors are parameters, which are buffers, and what a change of either does.

mod clones;
mod statistics;

use burn::{
    backend::{Autodiff, Dispatch},
    nn::Linear,
    prelude::*,
};
use burn_curvature::{Hessian, Objective, materialize};

use crate::failure::failure;

type B = Autodiff<Dispatch>;

fn autodiff() -> Device {
    Device::flex().autodiff()
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn weights(layer: &Linear) -> Vec<f64> {
    read(layer.weight.val())
}

/// The Hessian, row by row.
fn hessian(objective: &Objective<B>) -> Vec<f64> {
    materialize(&Hessian::new(objective).unwrap()).unwrap().values().to_vec()
}
