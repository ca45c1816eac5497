//! Losses between samples, and between models.

use burn::{module::Module, nn::loss::CrossEntropyLossConfig, prelude::*};

use crate::{
    networks::encoders::{Encoder, distillation},
    stranger::{OF_OUTPUTS, as_given, device, labels, normal},
};

#[test]
fn siamese() {
    let batch = (normal([8, 5], 1), normal([8, 5], 2), labels([8], 2, 3));
    as_given(Encoder::new([5, 8, 4], &device()), batch, Encoder::siamese_loss).mean().passes();
}

/// Two views of every sample against all others: NT-Xent. Samples depend on each other, so that no reduction is stated.
#[test]
fn simclr() {
    let batch = (normal([5, 5], 1), normal([5, 5], 2));
    as_given(
        Encoder::new([5, 8, 4], &device()),
        batch,
        |model, (one, two): (Tensor<2>, Tensor<2>)| {
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
        },
    )
    .without(&OF_OUTPUTS)
    .passes();
}

/// A student and a larger teacher.
#[test]
fn distilled() {
    let encoder = |hidden| Encoder::new([5, hidden, 4], &device());
    let batch = (normal([8, 5], 1), labels([8], 4, 2));
    as_given((encoder(6), encoder(10).no_grad()), batch, distillation).mean().passes();
}
