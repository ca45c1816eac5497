//! Transformers.

use burn::{
    module::{Module, Param},
    nn::{
        Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
        attention::{
            MhaInput, MultiHeadAttention, MultiHeadAttentionConfig, generate_autoregressive_mask,
        },
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    prelude::*,
    tensor::activation::gelu,
};

use super::{Continued, Labeled, classified, linear, per_sequence};

/// Sizes of a transformer.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub width: usize,
    pub inner: usize,
    pub heads: usize,
    pub layers: usize,
    pub words: usize,
    /// The longest sequence.
    pub length: usize,
}

impl Sizes {
    fn encoder(&self) -> TransformerEncoderConfig {
        TransformerEncoderConfig::new(self.width, self.inner, self.heads, self.layers)
    }
}

/// 0, 1, …, of shape `[1, length]`.
fn positions(tokens: &Tensor<2, Int>) -> Tensor<2, Int> {
    let [_, length] = tokens.dims();
    Tensor::arange(0..length as i64, &tokens.device()).reshape([1, length])
}

/// Burn's example of text classification: the first token's encoding is classified.
#[derive(Module, Debug)]
pub struct TextClassification {
    transformer: TransformerEncoder,
    embedding_token: Embedding,
    embedding_pos: Embedding,
    output: Linear,
}

impl TextClassification {
    pub fn new(sizes: Sizes, classes: usize, norm_first: bool, device: &Device) -> Self {
        let embedding = |count| EmbeddingConfig::new(count, sizes.width).init(device);
        Self {
            transformer: sizes.encoder().with_norm_first(norm_first).init(device),
            embedding_token: embedding(sizes.words),
            embedding_pos: embedding(sizes.length),
            output: linear(sizes.width, classes, device),
        }
    }

    pub fn loss(&self, (tokens, targets): Labeled<Tensor<2, Int>>) -> (Tensor<2>, Tensor<1>) {
        let [batch, _] = tokens.dims();
        let positions = positions(&tokens).repeat_dim(0, batch);
        let embedded = self.embedding_pos.forward(positions) + self.embedding_token.forward(tokens);
        let encoded = self.transformer.forward(TransformerEncoderInput::new(embedded));
        let first = self.output.forward(encoded).narrow(1, 0, 1).squeeze_dim(1);
        classified(first, targets)
    }
}

/// Burn's example of text generation: a causal mask, positions of shape `[1, tokens]`, the next token everywhere.
#[derive(Module, Debug)]
pub struct TextGeneration {
    transformer: TransformerEncoder,
    embedding_token: Embedding,
    embedding_pos: Embedding,
    output: Linear,
}

impl TextGeneration {
    pub fn new(sizes: Sizes, device: &Device) -> Self {
        let embedding = |count| EmbeddingConfig::new(count, sizes.width).init(device);
        Self {
            transformer: sizes.encoder().with_norm_first(true).init(device),
            embedding_token: embedding(sizes.words),
            embedding_pos: embedding(sizes.length),
            output: linear(sizes.width, sizes.words, device),
        }
    }

    /// `[sequences, tokens, words]`
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [batch, length] = tokens.dims();
        let device = tokens.device();
        let embedded =
            self.embedding_pos.forward(positions(&tokens)) + self.embedding_token.forward(tokens);
        let mask = generate_autoregressive_mask(batch, length, &device);
        let input = TransformerEncoderInput::new(embedded).mask_attn(mask);
        self.output.forward(self.transformer.forward(input))
    }

    pub fn loss(&self, (tokens, next): Continued) -> (Tensor<3>, Tensor<1>) {
        per_sequence(self.forward(tokens), next)
    }
}

/// A GPT whose head is the transposed embedding.
#[derive(Module, Debug)]
pub struct Gpt {
    wte: Embedding,
    wpe: Embedding,
    blocks: Vec<GptBlock>,
    ln_f: LayerNorm,
}

#[derive(Module, Debug)]
struct GptBlock {
    ln_1: LayerNorm,
    attention: MultiHeadAttention,
    ln_2: LayerNorm,
    c_fc: Linear,
    c_proj: Linear,
}

impl GptBlock {
    fn new(sizes: Sizes, device: &Device) -> Self {
        let norm = || LayerNormConfig::new(sizes.width).init(device);
        let attention = MultiHeadAttentionConfig::new(sizes.width, sizes.heads);
        Self {
            ln_1: norm(),
            attention: attention.with_dropout(0.0).init(device),
            ln_2: norm(),
            c_fc: linear(sizes.width, sizes.inner, device),
            c_proj: linear(sizes.inner, sizes.width, device),
        }
    }

    fn forward(&self, x: Tensor<3>, mask: Tensor<3, Bool>) -> Tensor<3> {
        let input = MhaInput::self_attn(self.ln_1.forward(x.clone())).mask_attn(mask);
        let x = x + self.attention.forward(input).context;
        let hidden = gelu(self.c_fc.forward(self.ln_2.forward(x.clone())));
        x + self.c_proj.forward(hidden)
    }
}

impl Gpt {
    pub fn new(sizes: Sizes, device: &Device) -> Self {
        Self {
            wte: EmbeddingConfig::new(sizes.words, sizes.width).init(device),
            wpe: EmbeddingConfig::new(sizes.length, sizes.width).init(device),
            blocks: (0..sizes.layers).map(|_| GptBlock::new(sizes, device)).collect(),
            ln_f: LayerNormConfig::new(sizes.width).init(device),
        }
    }

    pub fn loss(&self, (tokens, next): Continued) -> (Tensor<3>, Tensor<1>) {
        let [batch, length] = tokens.dims();
        let mask = generate_autoregressive_mask(batch, length, &tokens.device());
        let x = self.wpe.forward(positions(&tokens)) + self.wte.forward(tokens);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, mask.clone()));
        let head = self.wte.weight.val().transpose().unsqueeze();
        per_sequence(self.ln_f.forward(x).matmul(head), next)
    }
}

/// One layer used several times, factorized embeddings, and a head tied to them with a bias of its own.
#[derive(Module, Debug)]
pub struct Albert {
    words: Embedding,
    positions: Embedding,
    project: Linear,
    layer: TransformerEncoder,
    transform: Linear,
    norm: LayerNorm,
    bias: Param<Tensor<1>>,
    uses: usize,
}

impl Albert {
    /// With words of width `factor`; the layer is used `sizes.layers` times.
    pub fn new(sizes: Sizes, factor: usize, device: &Device) -> Self {
        let embedding = |count| EmbeddingConfig::new(count, factor).init(device);
        let layer = Sizes { layers: 1, ..sizes }.encoder();
        Self {
            words: embedding(sizes.words),
            positions: embedding(sizes.length),
            project: linear(factor, sizes.width, device),
            layer: layer.with_dropout(0.0).init(device),
            transform: linear(sizes.width, factor, device),
            norm: LayerNormConfig::new(factor).init(device),
            bias: Param::from_tensor(Tensor::zeros([sizes.words], device)),
            uses: sizes.layers,
        }
    }

    /// `[sequences, tokens, words]`
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let x = self.positions.forward(positions(&tokens)) + self.words.forward(tokens);
        let x = (0..self.uses).fold(self.project.forward(x), |x, _| {
            self.layer.forward(TransformerEncoderInput::new(x))
        });
        let x = self.norm.forward(gelu(self.transform.forward(x)));
        let head = self.words.weight.val().transpose().unsqueeze();
        x.matmul(head) + self.bias.val().unsqueeze()
    }

    pub fn loss(&self, (tokens, targets): Continued) -> (Tensor<3>, Tensor<1>) {
        per_sequence(self.forward(tokens), targets)
    }
}
