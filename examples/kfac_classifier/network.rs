//! A small convolutional classifier of handwritten digits and its loss, in plain Burn. Independent of optimizers.

use burn::{
    module::Module,
    nn::{
        GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        loss::CrossEntropyLossConfig,
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    prelude::*,
    tensor::activation::relu,
};

use crate::digits::{CLASSES, PIXELS};

const SIDE: usize = 8;
const CHANNELS: [usize; 2] = [8, 16];

#[derive(Module, Debug)]
pub struct Network {
    first: Conv2d,
    norm: GroupNorm,
    second: Conv2d,
    pool: MaxPool2d,
    output: Linear,
}

pub type Samples = (Tensor<2>, Tensor<1, Int>);

impl Network {
    pub fn new(device: &Device, seed: u64) -> Self {
        device.seed(seed);
        let convolution = |channels: [usize; 2]| {
            Conv2dConfig::new(channels, [3, 3]).with_padding(PaddingConfig2d::Same).init(device)
        };
        Self {
            first: convolution([1, CHANNELS[0]]),
            norm: GroupNormConfig::new(2, CHANNELS[0]).init(device),
            second: convolution(CHANNELS),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            output: LinearConfig::new(CHANNELS[1] * PIXELS / 16, CLASSES).init(device),
        }
    }

    /// `[images, 64]` → logits `[images, 10]`
    pub fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        let count = images.dims()[0];
        let x = images.reshape([count, 1, SIDE, SIDE]);
        let x = self.pool.forward(relu(self.norm.forward(self.first.forward(x))));
        let x = self.pool.forward(relu(self.second.forward(x)));
        self.output.forward(x.flatten(1, 3))
    }
}

/// Logits and mean cross-entropy.
pub fn loss(model: &Network, (images, labels): Samples) -> (Tensor<2>, Tensor<1>) {
    let logits = model.forward(images);
    let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), labels);
    (logits, loss)
}
