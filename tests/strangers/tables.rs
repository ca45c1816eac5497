//! Multilayer perceptrons.

use burn::{
    module::Module,
    nn::{
        Dropout, DropoutConfig, Linear, LinearConfig, Relu,
        loss::{CrossEntropyLossConfig, MseLoss, Reduction},
    },
    prelude::*,
};
use burn_curvature::Likelihood;

use crate::stranger::{as_given, device, evaluated, labels, normal};

/// The network of Burn's guide, with its dropout.
#[derive(Module, Debug)]
struct Guide {
    linear1: Linear,
    dropout: Dropout,
    linear2: Linear,
    activation: Relu,
}

impl Guide {
    fn forward(&self, images: Tensor<3>) -> Tensor<2> {
        let [batch, height, width] = images.dims();
        let x = images.reshape([batch, height * width]);
        let x = self.activation.forward(self.dropout.forward(self.linear1.forward(x)));
        self.linear2.forward(x)
    }
}

#[test]
fn guide() {
    let model = Guide {
        linear1: LinearConfig::new(36, 16).init(&device()),
        dropout: DropoutConfig::new(0.5).init(),
        linear2: LinearConfig::new(16, 10).init(&device()),
        activation: Relu::new(),
    };
    let batch = (normal([12, 6, 6], 1), labels([12], 10, 2));
    evaluated(model, batch, |model, (images, targets)| {
        let logits = model.forward(images);
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        (logits.clone(), loss.forward(logits, targets))
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

/// Burn's regression example: one hidden layer, mean squared error.
#[derive(Module, Debug)]
struct Regression {
    input_layer: Linear,
    output_layer: Linear,
    activation: Relu,
}

#[test]
fn regression() {
    let model = Regression {
        input_layer: LinearConfig::new(8, 16).with_bias(true).init(&device()),
        output_layer: LinearConfig::new(16, 1).with_bias(true).init(&device()),
        activation: Relu::new(),
    };
    let batch = (normal([16, 8], 1), normal([16], 2));
    as_given(model, batch, |model, (inputs, targets)| {
        let hidden = model.activation.forward(model.input_layer.forward(inputs));
        let output = model.output_layer.forward(hidden);
        let targets: Tensor<2> = targets.unsqueeze_dim(1);
        (output.clone(), MseLoss::new().forward(output, targets, Reduction::Mean))
    })
    .mean()
    .with(Likelihood::Gaussian { variance: 0.5 })
    .passes();
}
