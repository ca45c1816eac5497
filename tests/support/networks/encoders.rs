//! Encoders that are compared with each other or with a teacher, and losses with other targets.

use burn::{
    module::Module,
    nn::{CosineSimilarityConfig, Linear, loss::CrossEntropyLossConfig},
    prelude::*,
    tensor::activation::{log_softmax, relu, softmax},
};

use super::{Labeled, linear};

#[derive(Module, Debug)]
pub struct Encoder {
    hidden: Linear,
    output: Linear,
}

impl Encoder {
    pub fn new([inputs, hidden, outputs]: [usize; 3], device: &Device) -> Self {
        Self { hidden: linear(inputs, hidden, device), output: linear(hidden, outputs, device) }
    }

    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(relu(self.hidden.forward(x)))
    }

    /// Pairs that belong together, or not, by the cosine of their encodings.
    pub fn siamese_loss(
        &self,
        (left, right, same): (Tensor<2>, Tensor<2>, Tensor<1, Int>),
    ) -> (Tensor<1>, Tensor<1>) {
        let cosine = CosineSimilarityConfig::new().init();
        let cosine = cosine.forward(self.forward(left), self.forward(right));
        let same = same.float();
        let apart = same.clone() * -1.0 + 1.0;
        let loss = same * (cosine.clone() * -1.0 + 1.0) + apart * relu(cosine.clone() - 0.1);
        (cosine, loss.mean())
    }

    /// Cross-entropy with smoothed labels.
    pub fn smoothed_loss(&self, (x, targets): Labeled<Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let logits = self.forward(x);
        let loss = CrossEntropyLossConfig::new().with_smoothing(Some(0.1));
        (logits.clone(), loss.init(&logits.device()).forward(logits, targets))
    }
}

/// The loss of a student between the labels and a teacher that is frozen.
pub fn distillation(
    (student, teacher): &(Encoder, Encoder),
    (x, targets): Labeled<Tensor<2>>,
) -> (Tensor<2>, Tensor<1>) {
    let heat = 2.0;
    let logits = student.forward(x.clone());
    let soft = softmax(teacher.forward(x) / heat, 1);
    let hard = CrossEntropyLossConfig::new().init(&logits.device());
    let hard = hard.forward(logits.clone(), targets);
    let soft = (soft * log_softmax(logits.clone() / heat, 1)).sum_dim(1).mean().neg();
    (logits, hard * 0.3 + soft * (0.7 * heat * heat))
}
