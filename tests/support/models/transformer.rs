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

const SEQUENCES: usize = 16;
const TOKENS: usize = 32;
const VOCABULARY: usize = 64;
const WIDTH: usize = 64;
const FEED_FORWARD: usize = 256;
const HEADS: usize = 4;
const LAYERS: usize = 2;

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
        gradient_flops: gradient_flops(),
    }
}

/// The model on `device`, always the same.
pub fn model(device: &Device) -> Transformer {
    Synthetic::new(SEED).fill(Transformer {
        tokens: EmbeddingConfig::new(VOCABULARY, WIDTH).init(device),
        positions: EmbeddingConfig::new(TOKENS, WIDTH).init(device),
        encoder: TransformerEncoderConfig::new(WIDTH, FEED_FORWARD, HEADS, LAYERS)
            .with_dropout(0.0)
            .init(device),
        projection: LinearConfig::new(WIDTH, VOCABULARY).init(device),
    })
}

/// 16 random sequences with random targets.
pub fn batch(device: &Device) -> Batch {
    let mut synthetic = Synthetic::new(SEED + 1);
    let tokens = synthetic.below(VOCABULARY, [SEQUENCES, TOKENS], device);
    (tokens, synthetic.below(VOCABULARY, [SEQUENCES * TOKENS], device))
}

/// Logits and mean cross-entropy over all positions.
pub fn loss(model: &Transformer, (tokens, targets): Batch) -> (Tensor<2>, Tensor<1>) {
    cross_entropy(model.forward(tokens), targets)
}

/// Floating-point operations of the matrix products of one gradient: three
/// times those of the forward pass.
fn gradient_flops() -> f64 {
    let projections = 4 * WIDTH * WIDTH + 2 * WIDTH * FEED_FORWARD;
    let attention = 2 * TOKENS * WIDTH;
    let position = LAYERS * (projections + attention) + WIDTH * VOCABULARY;
    6.0 * (SEQUENCES * TOKENS * position) as f64
}
