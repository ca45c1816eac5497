//! The classifier 784-512-512-10 with tanh and cross-entropy, 256 rows:
//! 669,706 parameters, almost all of its time in three matrix products.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::tanh;
use burn::tensor::{Device, Int, Tensor};

use super::deterministic::Synthetic;
use super::{Case, SEED, cross_entropy};

const WIDTHS: [usize; 4] = [784, 512, 512, 10];
const ROWS: usize = 256;

/// Three linear layers with tanh between them.
#[derive(Module, Debug)]
pub struct Mlp {
    first: Linear,
    second: Linear,
    third: Linear,
}

impl Mlp {
    /// `[rows, 784]` → `[rows, 10]`
    pub fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        let hidden = tanh(self.first.forward(images));
        let hidden = tanh(self.second.forward(hidden));
        self.third.forward(hidden)
    }
}

/// Images `[rows, 784]` and classes `[rows]`.
pub type Batch = (Tensor<2>, Tensor<1, Int>);

/// Model, batch and loss on `device`.
pub fn case(device: &Device) -> Case<Mlp, Batch> {
    Case {
        name: "mlp",
        model: model(device),
        batch: batch(device),
        loss,
        gradient_flops: gradient_flops(),
    }
}

/// The model on `device`, always the same.
pub fn model(device: &Device) -> Mlp {
    let [input, first, second, output] = WIDTHS;
    Synthetic::new(SEED).fill(Mlp {
        first: LinearConfig::new(input, first).init(device),
        second: LinearConfig::new(first, second).init(device),
        third: LinearConfig::new(second, output).init(device),
    })
}

/// 256 images with random classes.
pub fn batch(device: &Device) -> Batch {
    let mut synthetic = Synthetic::new(SEED + 1);
    let images = synthetic.unit([ROWS, WIDTHS[0]], device);
    (images, synthetic.below(WIDTHS[3], [ROWS], device))
}

/// Logits and mean cross-entropy.
pub fn loss(model: &Mlp, (images, classes): Batch) -> (Tensor<2>, Tensor<1>) {
    cross_entropy(model.forward(images), classes)
}

/// Floating-point operations of the matrix products of one gradient: forward,
/// weights, and inputs of all layers but the first.
fn gradient_flops() -> f64 {
    let products = WIDTHS
        .windows(2)
        .enumerate()
        .map(|(layer, widths)| widths.iter().product::<usize>() * if layer == 0 { 2 } else { 3 })
        .sum::<usize>();
    2.0 * (ROWS * products) as f64
}
