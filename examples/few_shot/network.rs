//! A small network for letters and its loss, in plain Burn.

use burn::{
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    prelude::*,
    tensor::activation::tanh,
};

use crate::letters::{FEATURES, Samples};

const HIDDEN: usize = 48;

#[derive(Module, Debug)]
pub struct Network {
    first: Linear,
    output: Linear,
}

impl Network {
    pub fn new(ways: usize, device: &Device, seed: u64) -> Self {
        device.seed(seed);
        Self {
            first: LinearConfig::new(FEATURES, HIDDEN).init(device),
            output: LinearConfig::new(HIDDEN, ways).init(device),
        }
    }

    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(tanh(self.first.forward(x)))
    }
}

/// Logits and mean cross-entropy.
pub fn loss(model: &Network, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let logits = model.forward(x);
    let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), y);
    (logits, loss)
}
