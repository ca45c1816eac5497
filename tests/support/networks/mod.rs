//! Architectures as their authors write them in Burn, at any size, with the losses that they are trained with.

pub mod convolutions;
pub mod encoders;
pub mod graphs;
pub mod llama;
pub mod perceptrons;
pub mod physics;
pub mod transformers;

use burn::{
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    prelude::*,
};

/// Samples and their classes.
pub type Labeled<T> = (T, Tensor<1, Int>);
/// Tokens, and the token after each.
pub type Continued = (Tensor<2, Int>, Tensor<2, Int>);

/// A linear layer with a bias.
fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    LinearConfig::new(inputs, outputs).init(device)
}

/// Mean cross-entropy with its logits.
pub fn classified(logits: Tensor<2>, targets: Tensor<1, Int>) -> (Tensor<2>, Tensor<1>) {
    let loss = CrossEntropyLossConfig::new().init(&logits.device());
    (logits.clone(), loss.forward(logits, targets))
}

/// Mean cross-entropy over all tokens, with logits `[sequences · tokens, words]`: every token counts as a sample.
pub fn per_token(logits: Tensor<3>, next: Tensor<2, Int>) -> (Tensor<2>, Tensor<1>) {
    classified(logits.flatten(0, 1), next.flatten(0, 1))
}

/// Mean cross-entropy over sequences, summed over the tokens of each, with logits `[sequences, tokens, words]`.
pub fn per_sequence(logits: Tensor<3>, next: Tensor<2, Int>) -> (Tensor<3>, Tensor<1>) {
    let [_, length, _] = logits.dims();
    let (_, loss) = per_token(logits.clone(), next);
    (logits, loss * length as f64)
}

/// Squared error, summed over the outputs of a sample and averaged over samples.
fn squared<const D: usize>(outputs: Tensor<D>, targets: Tensor<D>) -> (Tensor<D>, Tensor<1>) {
    let of_sample: usize = outputs.dims()[1..].iter().product();
    let loss = (outputs.clone() - targets).square().mean() * of_sample as f64;
    (outputs, loss)
}
