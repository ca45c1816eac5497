//! A transformer encoder (width 64, 4 heads, 2 layers, feed-forward 256, GELU,
//! no dropout) over 16 sequences of 32 tokens from a vocabulary of 64. Token and
//! position embeddings; every position is classified into the vocabulary, and
//! the loss is the mean cross-entropy over all 512 positions.

use burn::module::Module;
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor};

use super::deterministic::Synthetic;
use super::{Case, SEED, cross_entropy};

/// How large model and batch are.
pub struct Sizes {
    pub sequences: usize,
    pub tokens: usize,
    pub vocabulary: usize,
    pub width: usize,
    pub feed_forward: usize,
    pub heads: usize,
    pub layers: usize,
}

const SIZES: Sizes = Sizes {
    sequences: 16,
    tokens: 32,
    vocabulary: 64,
    width: 64,
    feed_forward: 256,
    heads: 4,
    layers: 2,
};

/// Embeddings, encoder and the projection to the vocabulary.
#[derive(Module, Debug)]
pub struct Transformer {
    tokens: Embedding,
    positions: Embedding,
    encoder: TransformerEncoder,
    projection: Linear,
}

impl Transformer {
    /// `[sequences, tokens]` → `[sequences · tokens, vocabulary]`
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [_, length] = tokens.dims();
        let positions = Tensor::arange(0..length as i64, &tokens.device()).unsqueeze();
        let embedded = self.tokens.forward(tokens) + self.positions.forward(positions);
        let encoded = self.encoder.forward(TransformerEncoderInput::new(embedded));
        self.projection.forward(encoded).flatten(0, 1)
    }
}

/// Tokens `[sequences, tokens]` and their targets `[sequences · tokens]`.
pub type Batch = (Tensor<2, Int>, Tensor<1, Int>);

/// Model, batch and loss on `device`.
pub fn case(device: &Device) -> Case<Transformer, Batch> {
    Case {
        name: "transformer",
        model: model(device),
        batch: batch(device),
        loss,
        gradient_flops: gradient_flops(&SIZES),
    }
}

/// The same in other sizes.
#[allow(dead_code, reason = "only benchmarks call it")]
pub fn case_of(name: &'static str, sizes: &Sizes, device: &Device) -> Case<Transformer, Batch> {
    Case {
        name,
        model: model_of(sizes, device),
        batch: batch_of(sizes, device),
        loss,
        gradient_flops: gradient_flops(sizes),
    }
}

/// The model on `device`, always the same.
pub fn model(device: &Device) -> Transformer {
    model_of(&SIZES, device)
}

fn model_of(sizes: &Sizes, device: &Device) -> Transformer {
    let &Sizes { vocabulary, tokens, width, feed_forward, heads, layers, .. } = sizes;
    Synthetic::new(SEED).fill(Transformer {
        tokens: EmbeddingConfig::new(vocabulary, width).init(device),
        positions: EmbeddingConfig::new(tokens, width).init(device),
        encoder: TransformerEncoderConfig::new(width, feed_forward, heads, layers)
            .with_dropout(0.0)
            .init(device),
        projection: LinearConfig::new(width, vocabulary).init(device),
    })
}

/// 16 random sequences with random targets.
pub fn batch(device: &Device) -> Batch {
    batch_of(&SIZES, device)
}

fn batch_of(sizes: &Sizes, device: &Device) -> Batch {
    let &Sizes { sequences, tokens, vocabulary, .. } = sizes;
    let mut synthetic = Synthetic::new(SEED + 1);
    let rows = synthetic.below(vocabulary, [sequences, tokens], device);
    (rows, synthetic.below(vocabulary, [sequences * tokens], device))
}

/// Logits and mean cross-entropy over all positions.
pub fn loss(model: &Transformer, (tokens, targets): Batch) -> (Tensor<2>, Tensor<1>) {
    cross_entropy(model.forward(tokens), targets)
}

/// Floating-point operations of the matrix products of one gradient: three
/// times those of the forward pass.
fn gradient_flops(sizes: &Sizes) -> f64 {
    let &Sizes { sequences, tokens, vocabulary, width, feed_forward, layers, .. } = sizes;
    let projections = 4 * width * width + 2 * width * feed_forward;
    let attention = 2 * tokens * width;
    let position = layers * (projections + attention) + width * vocabulary;
    6.0 * (sequences * tokens * position) as f64
}
