//! Multilayer perceptrons.

use burn::{
    module::Module,
    nn::{
        Dropout, DropoutConfig, Linear, Relu,
        loss::{MseLoss, Reduction},
    },
    prelude::*,
};

use super::{Labeled, classified, linear};

/// The network of Burn's guide, with its dropout.
#[derive(Module, Debug)]
pub struct Guide {
    linear1: Linear,
    dropout: Dropout,
    linear2: Linear,
    activation: Relu,
}

impl Guide {
    /// For images of so many pixels.
    pub fn new([pixels, hidden, classes]: [usize; 3], device: &Device) -> Self {
        Self {
            linear1: linear(pixels, hidden, device),
            dropout: DropoutConfig::new(0.5).init(),
            linear2: linear(hidden, classes, device),
            activation: Relu::new(),
        }
    }

    pub fn loss(&self, (images, targets): Labeled<Tensor<3>>) -> (Tensor<2>, Tensor<1>) {
        let [batch, height, width] = images.dims();
        let x = images.reshape([batch, height * width]);
        let x = self.activation.forward(self.dropout.forward(self.linear1.forward(x)));
        classified(self.linear2.forward(x), targets)
    }
}

/// Burn's regression example: one hidden layer, mean squared error.
#[derive(Module, Debug)]
pub struct Regression {
    input_layer: Linear,
    output_layer: Linear,
    activation: Relu,
}

impl Regression {
    pub fn new([inputs, hidden]: [usize; 2], device: &Device) -> Self {
        Self {
            input_layer: linear(inputs, hidden, device),
            output_layer: linear(hidden, 1, device),
            activation: Relu::new(),
        }
    }

    pub fn loss(&self, (inputs, targets): (Tensor<2>, Tensor<1>)) -> (Tensor<2>, Tensor<1>) {
        let hidden = self.activation.forward(self.input_layer.forward(inputs));
        let output = self.output_layer.forward(hidden);
        let targets: Tensor<2> = targets.unsqueeze_dim(1);
        (output.clone(), MseLoss::new().forward(output, targets, Reduction::Mean))
    }
}
