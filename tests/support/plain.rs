//! What plain Burn says of a model, as `f64` on the host: an oracle that shares
//! nothing with the library.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};

use crate::models::Case;

/// The ndarray device.
#[allow(deprecated, reason = "deprecated in Burn 0.22, and independent of Flex")]
pub fn ndarray() -> Device {
    Device::ndarray()
}

/// Loss and gradient by `backward()`; parameters in visiting order, each in row order.
pub fn loss_and_gradient<M: Module, B: Clone>(case: &Case<M, B>) -> (f64, Vec<f64>) {
    let loss = case.forward();
    let mut collect = Collect { gradients: loss.backward(), values: Vec::new() };
    case.model.visit(&mut collect);
    (numbers(loss).into_iter().sum(), collect.values)
}

/// All values of a tensor in row order.
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Euclidean distance of two vectors; infinite when their lengths differ.
pub fn distance(left: &[f64], right: &[f64]) -> f64 {
    if left.len() != right.len() {
        return f64::INFINITY;
    }
    let squares = left.iter().zip(right).map(|(left, right)| (left - right).powi(2));
    squares.sum::<f64>().sqrt()
}

struct Collect {
    gradients: Gradients,
    values: Vec<f64>,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(&self.gradients).expect("a gradient");
        self.values.extend(numbers(gradient));
    }
}
