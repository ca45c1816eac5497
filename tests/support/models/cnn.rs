//! Two 3×3 convolutions (1→16→32 channels, no padding) with relu and 2×2 max
//! pooling, then a linear layer to ten classes; 128 images of 28×28, cross-entropy.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};

use super::deterministic::Synthetic;
use super::{Case, SEED, cross_entropy};

const ROWS: usize = 128;
const SIDE: usize = 28;
const CHANNELS: [usize; 3] = [1, 16, 32];
const KERNEL: usize = 3;
const CLASSES: usize = 10;
/// 28 → 26 → 13 → 11 → 5 pixels a side.
const CONVOLVED: [usize; 2] = [26, 11];
const POOLED: usize = 5;

/// Convolution, relu and pool, twice, then a linear layer.
#[derive(Module, Debug)]
pub struct Cnn {
    first: Conv2d,
    second: Conv2d,
    pool: MaxPool2d,
    classifier: Linear,
}

impl Cnn {
    /// `[rows, 1, 28, 28]` → `[rows, 10]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = self.pool.forward(relu(self.first.forward(images)));
        let features = self.pool.forward(relu(self.second.forward(features)));
        self.classifier.forward(features.flatten(1, 3))
    }
}

/// Images `[rows, 1, 28, 28]` and classes `[rows]`.
pub type Batch = (Tensor<4>, Tensor<1, Int>);

/// Model, batch and loss on `device`.
pub fn case(device: &Device) -> Case<Cnn, Batch> {
    Case {
        name: "cnn",
        model: model(device),
        batch: batch(device),
        loss,
        gradient_flops: gradient_flops(),
    }
}

/// The model on `device`, always the same.
pub fn model(device: &Device) -> Cnn {
    let [input, middle, output] = CHANNELS;
    let kernel = [KERNEL, KERNEL];
    Synthetic::new(SEED).fill(Cnn {
        first: Conv2dConfig::new([input, middle], kernel).init(device),
        second: Conv2dConfig::new([middle, output], kernel).init(device),
        pool: MaxPool2dConfig::new([2, 2]).init(),
        classifier: LinearConfig::new(output * POOLED * POOLED, CLASSES).init(device),
    })
}

/// 128 images with random classes.
pub fn batch(device: &Device) -> Batch {
    let mut synthetic = Synthetic::new(SEED + 1);
    let images = synthetic.unit([ROWS, CHANNELS[0], SIDE, SIDE], device);
    (images, synthetic.below(CLASSES, [ROWS], device))
}

/// Logits and mean cross-entropy.
pub fn loss(model: &Cnn, (images, classes): Batch) -> (Tensor<2>, Tensor<1>) {
    cross_entropy(model.forward(images), classes)
}

/// Floating-point operations of the convolutions and the linear layer of one
/// gradient: forward, weights, and inputs of all layers but the first.
fn gradient_flops() -> f64 {
    let [input, middle, output] = CHANNELS;
    let [first, second] = CONVOLVED.map(|side| side * side * KERNEL * KERNEL);
    let linear = output * POOLED * POOLED * CLASSES;
    let products = 2 * first * input * middle + 3 * second * middle * output + 3 * linear;
    2.0 * (ROWS * products) as f64
}
