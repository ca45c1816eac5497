//! A decoder with rotary encoding, and with a cache of keys and values.

use burn::{
    module::Module,
    nn::{
        Embedding, EmbeddingConfig, Linear, LinearConfig, RmsNorm, RmsNormConfig, RotaryEncoding,
        RotaryEncodingConfig,
    },
    prelude::*,
    tensor::activation::{silu, softmax},
};

use super::{Continued, per_sequence, transformers::Sizes};

fn linear(input: usize, output: usize, device: &Device) -> Linear {
    LinearConfig::new(input, output).with_bias(false).init(device)
}

/// RMS norms, rotary encoding, one head of keys and values for all queries, and SwiGLU.
#[derive(Module, Debug)]
pub struct Llama {
    embedding: Embedding,
    blocks: Vec<LlamaBlock>,
    rope: RotaryEncoding,
    norm: RmsNorm,
    head: Linear,
}

#[derive(Module, Debug)]
struct LlamaBlock {
    attention_norm: RmsNorm,
    wq: Linear,
    wk: Linear,
    wv: Linear,
    wo: Linear,
    ffn_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    heads: usize,
}

/// Keys and values of the tokens so far, `[batch, 1, tokens, head]`.
type Cache = Option<(Tensor<4>, Tensor<4>)>;

impl LlamaBlock {
    fn new(sizes: Sizes, device: &Device) -> Self {
        let Sizes { width, inner, heads, .. } = sizes;
        let norm = || RmsNormConfig::new(width).init(device);
        Self {
            attention_norm: norm(),
            wq: linear(width, width, device),
            wk: linear(width, width / heads, device),
            wv: linear(width, width / heads, device),
            wo: linear(width, width, device),
            ffn_norm: norm(),
            gate: linear(width, inner, device),
            up: linear(width, inner, device),
            down: linear(inner, width, device),
            heads,
        }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        rope: &RotaryEncoding,
        start: usize,
        cache: &mut Cache,
    ) -> Tensor<3> {
        let [batch, length, width] = x.dims();
        let head = width / self.heads;
        let normed = self.attention_norm.forward(x.clone());
        let heads = |x: Tensor<3>, count| x.reshape([batch, length, count, head]).swap_dims(1, 2);
        let q = rope.apply(heads(self.wq.forward(normed.clone()), self.heads), start);
        let k = rope.apply(heads(self.wk.forward(normed.clone()), 1), start);
        let v = heads(self.wv.forward(normed), 1);
        let (k, v) = match cache.take() {
            Some((keys, values)) => {
                (Tensor::cat(vec![keys, k], 2), Tensor::cat(vec![values, v], 2))
            }
            None => (k, v),
        };
        *cache = Some((k.clone(), v.clone()));
        let (k, v) = (k.repeat_dim(1, self.heads), v.repeat_dim(1, self.heads));
        let scores = q.matmul(k.swap_dims(2, 3)) / (head as f64).sqrt();
        let mask =
            Tensor::<2, Bool>::tril_mask([length, start + length], start as i64, &scores.device());
        let scores = scores.mask_fill(mask.unsqueeze(), -1e9);
        let context = softmax(scores, 3).matmul(v).swap_dims(1, 2);
        let x = x + self.wo.forward(context.reshape([batch, length, width]));
        let normed = self.ffn_norm.forward(x.clone());
        let hidden = silu(self.gate.forward(normed.clone())) * self.up.forward(normed);
        x + self.down.forward(hidden)
    }
}

impl Llama {
    pub fn new(sizes: Sizes, device: &Device) -> Self {
        let rope = RotaryEncodingConfig::new(sizes.length, sizes.width / sizes.heads);
        Self {
            embedding: EmbeddingConfig::new(sizes.words, sizes.width).init(device),
            blocks: (0..sizes.layers).map(|_| LlamaBlock::new(sizes, device)).collect(),
            rope: rope.init(device),
            norm: RmsNormConfig::new(sizes.width).init(device),
            head: linear(sizes.width, sizes.words, device),
        }
    }

    fn forward(&self, tokens: Tensor<2, Int>, start: usize, caches: &mut [Cache]) -> Tensor<3> {
        let mut x = self.embedding.forward(tokens);
        for (block, cache) in self.blocks.iter().zip(caches) {
            x = block.forward(x, &self.rope, start, cache);
        }
        self.head.forward(self.norm.forward(x))
    }

    fn caches(&self) -> Vec<Cache> {
        self.blocks.iter().map(|_| None).collect()
    }

    /// All tokens at once, `[sequences, tokens, words]`.
    pub fn whole(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.forward(tokens, 0, &mut self.caches())
    }

    /// Token by token, with caches of keys and values, `[sequences, tokens, words]`.
    pub fn cached(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [_, length] = tokens.dims();
        let mut caches = self.caches();
        let steps = (0..length).map(|at| {
            let token = tokens.clone().narrow(1, at, 1);
            self.forward(token, at, &mut caches)
        });
        Tensor::cat(steps.collect(), 1)
    }

    pub fn loss(&self, (tokens, next): Continued) -> (Tensor<3>, Tensor<1>) {
        per_sequence(self.whole(tokens), next)
    }

    pub fn cached_loss(&self, (tokens, next): Continued) -> (Tensor<3>, Tensor<1>) {
        per_sequence(self.cached(tokens), next)
    }
}
