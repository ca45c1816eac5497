//! The regression network 3-5-1 with a sigmoid and mean squared error on ten
//! points: 26 parameters, so that every call measures overhead.

use burn::module::Module;
use burn::nn::loss::{MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use super::deterministic::Synthetic;
use super::{Case, SEED};

const WIDTHS: [usize; 3] = [3, 5, 1];
const POINTS: usize = 10;

/// Two linear layers with a sigmoid between them.
#[derive(Module, Debug)]
pub struct Tiny {
    hidden: Linear,
    output: Linear,
}

impl Tiny {
    /// `[points, 3]` → `[points, 1]`
    pub fn forward(&self, points: Tensor<2>) -> Tensor<2> {
        self.output.forward(sigmoid(self.hidden.forward(points)))
    }
}

/// Points `[points, 3]` and targets `[points, 1]`.
pub type Batch = (Tensor<2>, Tensor<2>);

/// Model, batch and loss on `device`.
pub fn case(device: &Device) -> Case<Tiny, Batch> {
    Case {
        name: "tiny",
        model: model(device),
        batch: batch(device),
        loss,
        gradient_flops: gradient_flops(),
    }
}

/// The model on `device`, always the same.
pub fn model(device: &Device) -> Tiny {
    let [input, hidden, output] = WIDTHS;
    Synthetic::new(SEED).fill(Tiny {
        hidden: LinearConfig::new(input, hidden).init(device),
        output: LinearConfig::new(hidden, output).init(device),
    })
}

/// Ten random points with random targets.
pub fn batch(device: &Device) -> Batch {
    let mut synthetic = Synthetic::new(SEED + 1);
    let points = synthetic.unit([POINTS, WIDTHS[0]], device);
    (points, synthetic.unit([POINTS, WIDTHS[2]], device))
}

/// Predictions and mean squared error.
pub fn loss(model: &Tiny, (points, targets): Batch) -> (Tensor<2>, Tensor<1>) {
    let predictions = model.forward(points);
    let loss = MseLoss::new().forward(predictions.clone(), targets, Reduction::Mean);
    (predictions, loss)
}

/// Floating-point operations of the matrix products of one gradient.
fn gradient_flops() -> f64 {
    let [input, hidden, output] = WIDTHS;
    2.0 * (POINTS * (2 * input * hidden + 3 * hidden * output)) as f64
}
