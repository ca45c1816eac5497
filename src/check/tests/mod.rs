//! Planted errors are found, and what is right passes.

mod planted;
mod reports;

use burn::{
    backend::{Autodiff, Flex},
    module::{Module, Param},
    prelude::*,
    tensor::activation::{log_softmax, tanh},
};

use crate::objective::{CaptureConfig, Objective, Reduction};

/// A backend on which Burn has both engines.
type B = Autodiff<Flex>;

#[derive(Module, Debug)]
struct Net {
    first: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    second: Param<Tensor<2>>,
}

/// Values between −1 and 1 that look random.
fn values<const D: usize>(shape: [usize; D], phase: f64) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (1.7 * i as f64 + phase).sin() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
}

/// The mean cross-entropy of two layers with tanh on six samples.
fn classifier() -> Objective<B> {
    classifier_with(0.0)
}

/// The same with a constant in the loss.
fn classifier_with(constant: f64) -> Objective<B> {
    let model = Net {
        first: Param::from_tensor(values([3, 4], 0.3)),
        bias: Param::from_tensor(values([4], 0.7)),
        second: Param::from_tensor(values([4, 3], 1.1)),
    };
    let batch = (values([6, 3], 2.0), values([6, 3], 2.5).argmax(1));
    let loss = move |model: &Net, (x, y): (Tensor<2>, Tensor<2, Int>)| {
        let hidden = tanh(x.matmul(model.first.val()) + model.bias.val().unsqueeze());
        let logits = hidden.matmul(model.second.val());
        let loss = log_softmax(logits.clone(), 1).gather(1, y).mean().neg() + constant;
        (logits, loss)
    };
    let objective = Objective::capture_with(&CaptureConfig::new(), &model, batch, loss);
    objective.unwrap().reduced_by(Reduction::Mean).unwrap()
}
