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
use burn_curvature::{Likelihood, check::Check};

use crate::{
    stranger::{as_given, device, labels},
    text::{MIXED, per_sequence, per_token},
};

type Continued = (Tensor<2, Int>, Tensor<2, Int>);

const WIDTH: usize = 8;
const WORDS: usize = 12;

fn linear(input: usize, output: usize) -> Linear {
    LinearConfig::new(input, output).with_bias(false).init(&device())
}

/// RMS norms, rotary encoding, grouped queries and SwiGLU.
#[derive(Module, Debug)]
struct Llama {
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
}

const HEADS: usize = 2;
const HEAD: usize = WIDTH / HEADS;

/// Keys and values of the tokens so far, `[batch, 1, tokens, head]`.
type Cache = Option<(Tensor<4>, Tensor<4>)>;

impl LlamaBlock {
    fn new() -> Self {
        let norm = || RmsNormConfig::new(WIDTH).init(&device());
        Self {
            attention_norm: norm(),
            wq: linear(WIDTH, WIDTH),
            wk: linear(WIDTH, HEAD),
            wv: linear(WIDTH, HEAD),
            wo: linear(WIDTH, WIDTH),
            ffn_norm: norm(),
            gate: linear(WIDTH, 12),
            up: linear(WIDTH, 12),
            down: linear(12, WIDTH),
        }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        rope: &RotaryEncoding,
        start: usize,
        cache: &mut Cache,
    ) -> Tensor<3> {
        let [batch, length, _] = x.dims();
        let normed = self.attention_norm.forward(x.clone());
        let heads = |x: Tensor<3>, count| x.reshape([batch, length, count, HEAD]).swap_dims(1, 2);
        let q = rope.apply(heads(self.wq.forward(normed.clone()), HEADS), start);
        let k = rope.apply(heads(self.wk.forward(normed.clone()), 1), start);
        let v = heads(self.wv.forward(normed), 1);
        let (k, v) = match cache.take() {
            Some((keys, values)) => {
                (Tensor::cat(vec![keys, k], 2), Tensor::cat(vec![values, v], 2))
            }
            None => (k, v),
        };
        *cache = Some((k.clone(), v.clone()));
        let (k, v) = (k.repeat_dim(1, HEADS), v.repeat_dim(1, HEADS));
        let scores = q.matmul(k.swap_dims(2, 3)) / (HEAD as f64).sqrt();
        let mask =
            Tensor::<2, Bool>::tril_mask([length, start + length], start as i64, &scores.device());
        let scores = scores.mask_fill(mask.unsqueeze(), -1e9);
        let context = softmax(scores, 3).matmul(v).swap_dims(1, 2);
        let x = x + self.wo.forward(context.reshape([batch, length, WIDTH]));
        let normed = self.ffn_norm.forward(x.clone());
        let hidden = silu(self.gate.forward(normed.clone())) * self.up.forward(normed);
        x + self.down.forward(hidden)
    }
}

impl Llama {
    fn new() -> Self {
        Self {
            embedding: EmbeddingConfig::new(WORDS, WIDTH).init(&device()),
            blocks: vec![LlamaBlock::new(), LlamaBlock::new()],
            rope: RotaryEncodingConfig::new(16, HEAD).init(&device()),
            norm: RmsNormConfig::new(WIDTH).init(&device()),
            head: linear(WIDTH, WORDS),
        }
    }

    fn forward(&self, tokens: Tensor<2, Int>, start: usize, caches: &mut [Cache]) -> Tensor<3> {
        let mut x = self.embedding.forward(tokens);
        for (block, cache) in self.blocks.iter().zip(caches) {
            x = block.forward(x, &self.rope, start, cache);
        }
        self.head.forward(self.norm.forward(x))
    }
}

#[test]
fn llama() {
    let batch = (labels([3, 6], WORDS, 1), labels([3, 6], WORDS, 2));
    as_given(Llama::new(), batch, |model, (tokens, next): Continued| {
        per_sequence(model.forward(tokens, 0, &mut [None, None]), next)
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

#[test]
fn llama_with_a_key_value_cache() {
    let batch = (labels([3, 6], WORDS, 1), labels([3, 6], WORDS, 2));
    as_given(Llama::new(), batch, |model, (tokens, next): Continued| {
        let [_, length] = tokens.dims();
        let mut caches = [None, None];
        let steps = (0..length).map(|at| {
            let token = tokens.clone().narrow(1, at, 1);
            model.forward(token, at, &mut caches)
        });
        per_token(Tensor::cat(steps.collect(), 1), next)
    })
    .mean()
    .with(Likelihood::Categorical)
    .refuses(Check::KfacTrace, MIXED);
}
