//! Losses that users write.

use burn::{
    module::Module,
    nn::{
        Linear, LinearConfig,
        loss::{CrossEntropyLossConfig, GaussianNLLLossConfig, Reduction},
    },
    prelude::*,
    tensor::activation::{log_softmax, softplus},
};

use crate::stranger::{OF_OUTPUTS, as_given, device, labels, normal};

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

impl Net {
    fn new(output: usize) -> Self {
        Self {
            hidden: LinearConfig::new(5, 8).init(&device()),
            output: LinearConfig::new(8, output).init(&device()),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.hidden.forward(x).tanh())
    }
}

type Labeled = (Tensor<2>, Tensor<1, Int>);

fn labeled() -> Labeled {
    (normal([10, 5], 1), labels([10], 4, 2))
}

/// Class weights make it a weighted mean, so that no reduction is stated.
#[test]
fn label_smoothing_with_class_weights() {
    as_given(Net::new(4), labeled(), |model, (x, targets): Labeled| {
        let logits = model.forward(x);
        let loss = CrossEntropyLossConfig::new()
            .with_smoothing(Some(0.1))
            .with_weights(Some(vec![0.5, 2.0, 1.0, 3.0]));
        (logits.clone(), loss.init(&logits.device()).forward(logits, targets))
    })
    .passes();
}

/// The loss of the class, less where it is certain.
#[test]
fn focal() {
    as_given(Net::new(4), labeled(), |model, (x, targets): Labeled| {
        let logits = model.forward(x);
        let logs = log_softmax(logits.clone(), 1).gather(1, targets.unsqueeze_dim(1));
        let doubt = (logs.clone().exp() * -1.0 + 1.0).powf_scalar(2.0);
        (logits, (doubt * logs).mean().neg())
    })
    .mean()
    .passes();
}

/// A mean and a variance for every sample.
#[test]
fn gaussian_likelihood() {
    let batch = (normal([10, 5], 1), normal([10, 1], 2));
    as_given(Net::new(2), batch, |model, (x, y): (Tensor<2>, Tensor<2>)| {
        let outputs = model.forward(x);
        let variance = softplus(outputs.clone().narrow(1, 1, 1), 1.0) + 1e-3;
        let loss = GaussianNLLLossConfig::new().init();
        let loss = loss.forward(outputs.clone().narrow(1, 0, 1), y, variance, Reduction::Mean);
        (outputs, loss)
    })
    .mean()
    .passes();
}

/// Three quantiles, sorted so that they do not cross.
#[test]
fn quantiles() {
    let batch = (normal([10, 5], 1), normal([10, 1], 2));
    as_given(Net::new(3), batch, |model, (x, y): (Tensor<2>, Tensor<2>)| {
        let found = model.forward(x).sort(1);
        let level = Tensor::<2>::from_floats([[0.1, 0.5, 0.9]], &found.device());
        let error = y - found;
        let pinball = (error.clone() * level.clone()).max_pair(error * (level - 1.0));
        pinball.mean()
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}
