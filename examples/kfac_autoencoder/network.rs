//! The autoencoder of handwritten digits and its loss, in plain Burn. Independent of optimizers.

use burn::{
    module::{Initializer, Module},
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::activation::{sigmoid, softplus, tanh},
};

const SIZES: [usize; 9] = [64, 48, 24, 12, 6, 12, 24, 48, 64];

#[derive(Module, Debug)]
pub struct Autoencoder {
    layers: Vec<Linear>,
}

impl Autoencoder {
    pub fn new(device: &Device, seed: u64) -> Self {
        device.seed(seed);
        let layer = |sizes: &[usize]| {
            let mut layer = LinearConfig::new(sizes[0], sizes[1])
                .with_initializer(Initializer::XavierNormal { gain: 5.0 / 3.0 })
                .init(device);
            layer.bias = layer.bias.map(|bias| bias.map(|bias| bias.zeros_like().require_grad()));
            layer
        };
        Self { layers: SIZES.windows(2).map(layer).collect() }
    }

    /// Logits of the pixels.
    pub fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        let mut layers = self.layers.iter();
        let first = layers.next().map(|layer| layer.forward(images));
        let logits =
            layers.fold(first, |hidden, layer| hidden.map(|hidden| layer.forward(tanh(hidden))));
        logits.expect("nine layers of units")
    }
}

/// Logits, and the cross-entropy −log p(x|z), summed over pixels and averaged over images.
pub fn loss(model: &Autoencoder, images: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let count = images.dims()[0] as f64;
    let logits = model.forward(images.clone());
    let loss = softplus(logits.clone(), 1.0) - logits.clone() * images;
    (logits, loss.sum() / count)
}

/// Squared errors of the pixels, summed over pixels and averaged over images.
pub fn squared_error(logits: Tensor<2>, images: Tensor<2>) -> f64 {
    let count = images.dims()[0] as f64;
    let error = (sigmoid(logits) - images).powf_scalar(2.0).sum();
    error.into_data().iter::<f64>().next().map_or(f64::NAN, |sum| sum / count)
}
