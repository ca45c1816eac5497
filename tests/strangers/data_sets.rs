//! Data sets as they come: a last batch of fewer samples, a frozen part, sizes at which Burn merges samples and places.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, Linear, LinearConfig,
        PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    prelude::*,
    tensor::activation::silu,
};
use burn_curvature::Likelihood;

use crate::{
    parts::classified,
    stranger::{device, evaluated, labels, normal},
};

/// A classifier of sentences whose word vectors are frozen.
#[derive(Module, Debug)]
pub struct Sentences {
    words: Embedding,
    positions: Embedding,
    encoder: TransformerEncoder,
    head: Linear,
}

impl Sentences {
    pub fn new() -> Self {
        Self {
            words: EmbeddingConfig::new(20, 12).init(&device()).no_grad(),
            positions: EmbeddingConfig::new(5, 12).init(&device()),
            encoder: TransformerEncoderConfig::new(12, 24, 2, 1).init(&device()),
            head: LinearConfig::new(12, 3).init(&device()),
        }
    }

    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [_, length] = tokens.dims();
        let positions = Tensor::arange(0..length as i64, &tokens.device()).reshape([1, length]);
        let embedded = self.words.forward(tokens) + self.positions.forward(positions);
        let encoded = self.encoder.forward(TransformerEncoderInput::new(embedded));
        self.head.forward(encoded.mean_dim(1).squeeze_dim(1))
    }
}

#[test]
fn sentences_with_frozen_words() {
    type Labeled = (Tensor<2, Int>, Tensor<1, Int>);
    let batch = |size, seed| (labels([size, 5], 20, seed), labels([size], 3, seed + 1));
    evaluated(Sentences::new(), batch(4, 1), |model, (tokens, targets): Labeled| {
        classified(model.forward(tokens), targets)
    })
    .mean_over([batch(4, 1), batch(4, 3), batch(3, 5)])
    .with(Likelihood::Categorical)
    .passes();
}

/// A convolutional network with batch normalization whose first layer is frozen.
#[derive(Module, Debug)]
pub struct Images {
    pub first: Conv2d,
    pub norm: BatchNorm,
    second: Conv2d,
    pub head: Linear,
}

impl Images {
    pub fn new() -> Self {
        let conv = |from, to| {
            let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
            Conv2dConfig::new([from, to], [3, 3]).with_padding(padding).init(&device())
        };
        Self {
            first: conv(1, 4).no_grad(),
            norm: BatchNormConfig::new(4).init(&device()),
            second: conv(4, 2),
            head: LinearConfig::new(32, 3).init(&device()),
        }
    }

    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = silu(self.norm.forward(self.first.forward(images)));
        let x = silu(self.second.forward(x));
        self.head.forward(x.flatten(1, 3))
    }
}

#[test]
fn images_with_a_frozen_layer() {
    type Labeled = (Tensor<4>, Tensor<1, Int>);
    let batch = |size, seed| (normal([size, 1, 4, 4], seed), labels([size], 3, seed + 1));
    evaluated(Images::new(), batch(5, 1), |model, (images, targets): Labeled| {
        classified(model.forward(images), targets)
    })
    .mean_over([batch(5, 1), batch(5, 3), batch(2, 5)])
    .with(Likelihood::Categorical)
    .passes();
}
