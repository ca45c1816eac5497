//! Losses between samples, and between models.

use burn::{
    module::Module,
    nn::{CosineSimilarityConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    prelude::*,
    tensor::activation::{log_softmax, relu, softmax},
};

use crate::stranger::{OF_OUTPUTS, as_given, device, labels, normal};

#[derive(Module, Debug)]
struct Encoder {
    hidden: Linear,
    output: Linear,
}

impl Encoder {
    fn new(hidden: usize, output: usize) -> Self {
        Self {
            hidden: LinearConfig::new(5, hidden).init(&device()),
            output: LinearConfig::new(hidden, output).init(&device()),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(relu(self.hidden.forward(x)))
    }
}

/// Pairs that belong together, or not, by the cosine of their encodings.
#[test]
fn siamese() {
    let batch = (normal([8, 5], 1), normal([8, 5], 2), labels([8], 2, 3));
    as_given(
        Encoder::new(8, 4),
        batch,
        |model, (left, right, same): (Tensor<2>, Tensor<2>, Tensor<1, Int>)| {
            let cosine = CosineSimilarityConfig::new().init();
            let cosine = cosine.forward(model.forward(left), model.forward(right));
            let same = same.float();
            let apart = same.clone() * -1.0 + 1.0;
            let loss = same * (cosine.clone() * -1.0 + 1.0) + apart * relu(cosine.clone() - 0.1);
            (cosine, loss.mean())
        },
    )
    .mean()
    .passes();
}

/// Two views of every sample against all others: NT-Xent. Samples depend on each other, so that no reduction is stated.
#[test]
fn simclr() {
    let batch = (normal([5, 5], 1), normal([5, 5], 2));
    as_given(Encoder::new(8, 4), batch, |model, (one, two): (Tensor<2>, Tensor<2>)| {
        let [pairs, _] = one.dims();
        let z = Tensor::cat(vec![model.forward(one), model.forward(two)], 0);
        let z = z.clone() / z.square().sum_dim(1).sqrt();
        let similarity = z.clone().matmul(z.transpose()) / 0.5;
        let device = similarity.device();
        let own = Tensor::<2, Bool>::diag_mask([2 * pairs, 2 * pairs], 0, &device).bool_not();
        let similarity = similarity.mask_fill(own, -1e9);
        let first = Tensor::<1, Int>::arange(pairs as i64..2 * pairs as i64, &device);
        let second = Tensor::<1, Int>::arange(0..pairs as i64, &device);
        let partners = Tensor::cat(vec![first, second], 0);
        CrossEntropyLossConfig::new().init(&device).forward(similarity, partners)
    })
    .without(&OF_OUTPUTS)
    .passes();
}

/// A student between the labels and a teacher that is frozen.
#[test]
fn distillation() {
    let model = (Encoder::new(6, 4), Encoder::new(10, 4).no_grad());
    let batch = (normal([8, 5], 1), labels([8], 4, 2));
    as_given(model, batch, |(student, teacher), (x, targets): (Tensor<2>, Tensor<1, Int>)| {
        let heat = 2.0;
        let logits = student.forward(x.clone());
        let soft = softmax(teacher.forward(x) / heat, 1);
        let hard = CrossEntropyLossConfig::new().init(&logits.device());
        let hard = hard.forward(logits.clone(), targets);
        let soft = (soft * log_softmax(logits.clone() / heat, 1)).sum_dim(1).mean().neg();
        (logits, hard * 0.3 + soft * (0.7 * heat * heat))
    })
    .mean()
    .passes();
}
