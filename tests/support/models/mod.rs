//! Reference models in plain Burn with synthetic batches. Each is the same, bit for bit, on every backend: parameters and
//! data come from our own generator. Does not know this library.
//!
//! A loss is a plain `fn(&Model, Batch) -> (outputs, loss)`, the shape in which
//! Burn code is usually written.

pub mod cnn;
pub mod deterministic;
pub mod mlp;
pub mod tiny;
pub mod transformer;

use burn::tensor::{Int, Tensor};

/// Outputs `[rows, classes]` and the mean loss over the rows `[1]`.
pub type Loss<Model, Batch> = fn(&Model, Batch) -> (Tensor<2>, Tensor<1>);

/// A model with its batch and loss, on one device.
#[derive(Clone)]
pub struct Case<Model, Batch> {
    /// The model's name in figures.
    pub name: &'static str,
    pub model: Model,
    pub batch: Batch,
    pub loss: Loss<Model, Batch>,
    /// Floating-point operations of the matrix products in one gradient.
    #[allow(dead_code, reason = "only benchmarks read it")]
    pub gradient_flops: f64,
}

impl<Model, Batch: Clone> Case<Model, Batch> {
    /// One forward pass; only the loss, `[1]`.
    pub fn forward(&self) -> Tensor<1> {
        (self.loss)(&self.model, self.batch.clone()).1
    }
}

/// The seed of every model and batch here.
pub const SEED: u64 = 1;

/// Mean cross-entropy of logits `[rows, classes]` against classes `[rows]`.
pub fn cross_entropy(logits: Tensor<2>, classes: Tensor<1, Int>) -> (Tensor<2>, Tensor<1>) {
    let loss = burn::nn::loss::CrossEntropyLossConfig::new()
        .init(&logits.device())
        .forward(logits.clone(), classes);
    (logits, loss)
}
