//! Transformers.

use burn::{
    module::Module,
    nn::{
        Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig,
        attention::{
            MhaInput, MultiHeadAttention, MultiHeadAttentionConfig, generate_autoregressive_mask,
        },
        transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput},
    },
    prelude::*,
    tensor::activation::gelu,
};
use burn_curvature::{Likelihood, check::Check};

use crate::{
    parts::classified,
    stranger::{device, evaluated, labels},
};

type Labeled = (Tensor<2, Int>, Tensor<1, Int>);
type Continued = (Tensor<2, Int>, Tensor<2, Int>);

const WIDTH: usize = 8;
const WORDS: usize = 12;

/// Mean cross-entropy over all tokens, with logits `[sequences · tokens, words]`: every token counts as a sample.
pub fn per_token(logits: Tensor<3>, next: Tensor<2, Int>) -> (Tensor<2>, Tensor<1>) {
    classified(logits.flatten(0, 1), next.flatten(0, 1))
}

/// Mean cross-entropy over sequences, summed over the tokens of each, with logits `[sequences, tokens, words]`.
pub fn per_sequence(logits: Tensor<3>, next: Tensor<2, Int>) -> (Tensor<3>, Tensor<1>) {
    let [_, length, _] = logits.dims();
    let (_, loss) = per_token(logits.clone(), next);
    (logits, loss * length as f64)
}

/// Why the gradient of a single token cannot be had from K-FAC's rows: attention mixes the tokens of a sequence.
pub const MIXED: &str = "cannot be separated";

fn embedding(count: usize) -> Embedding {
    EmbeddingConfig::new(count, WIDTH).init(&device())
}

/// Burn's example of text classification: the first token's encoding is classified.
#[derive(Module, Debug)]
struct TextClassification {
    transformer: TransformerEncoder,
    embedding_token: Embedding,
    embedding_pos: Embedding,
    output: Linear,
}

impl TextClassification {
    fn new(norm_first: bool) -> Self {
        let encoder = TransformerEncoderConfig::new(WIDTH, 16, 2, 2).with_norm_first(norm_first);
        Self {
            transformer: encoder.init(&device()),
            embedding_token: embedding(WORDS),
            embedding_pos: embedding(6),
            output: LinearConfig::new(WIDTH, 3).init(&device()),
        }
    }

    fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [batch, length] = tokens.dims();
        let positions = Tensor::arange(0..length as i64, &tokens.device());
        let positions = positions.reshape([1, length]).repeat_dim(0, batch);
        let embedded = self.embedding_pos.forward(positions) + self.embedding_token.forward(tokens);
        let encoded = self.transformer.forward(TransformerEncoderInput::new(embedded));
        self.output.forward(encoded).slice([0..batch, 0..1]).reshape([batch, 3])
    }
}

fn text_classification(norm_first: bool) {
    let batch = (labels([6, 5], WORDS, 1), labels([6], 3, 2));
    evaluated(TextClassification::new(norm_first), batch, |model, (tokens, targets): Labeled| {
        classified(model.forward(tokens), targets)
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

#[test]
fn text_classification_with_norms_first() {
    text_classification(true);
}

#[test]
fn text_classification_with_norms_last() {
    text_classification(false);
}

/// Burn's example of text generation: a causal mask, positions of shape `[1, tokens]`, the next token everywhere.
#[derive(Module, Debug)]
struct TextGeneration {
    transformer: TransformerEncoder,
    embedding_token: Embedding,
    embedding_pos: Embedding,
    output: Linear,
}

#[test]
fn text_generation() {
    let encoder = TransformerEncoderConfig::new(WIDTH, 16, 2, 1).with_norm_first(true);
    let model = TextGeneration {
        transformer: encoder.init(&device()),
        embedding_token: embedding(WORDS),
        embedding_pos: embedding(6),
        output: LinearConfig::new(WIDTH, WORDS).init(&device()),
    };
    let batch = (labels([4, 6], WORDS, 1), labels([4, 6], WORDS, 2));
    evaluated(model, batch, |model, (tokens, next): Continued| {
        let [batch, length] = tokens.dims();
        let device = tokens.device();
        let positions = Tensor::arange(0..length as i64, &device).reshape([1, length]);
        let embedded =
            model.embedding_pos.forward(positions) + model.embedding_token.forward(tokens);
        let mask = generate_autoregressive_mask(batch, length, &device);
        let input = TransformerEncoderInput::new(embedded).mask_attn(mask);
        per_token(model.output.forward(model.transformer.forward(input)), next)
    })
    .mean()
    .with(Likelihood::Categorical)
    .refuses(Check::KfacTrace, MIXED);
}

/// A GPT whose head is the transposed embedding.
#[derive(Module, Debug)]
struct Gpt {
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
    fn forward(&self, x: Tensor<3>, mask: Tensor<3, Bool>) -> Tensor<3> {
        let input = MhaInput::self_attn(self.ln_1.forward(x.clone())).mask_attn(mask);
        let x = x + self.attention.forward(input).context;
        let hidden = gelu(self.c_fc.forward(self.ln_2.forward(x.clone())));
        x + self.c_proj.forward(hidden)
    }
}

#[test]
fn gpt_with_a_tied_head() {
    let norm = || LayerNormConfig::new(WIDTH).init(&device());
    let block = || GptBlock {
        ln_1: norm(),
        attention: MultiHeadAttentionConfig::new(WIDTH, 2).with_dropout(0.0).init(&device()),
        ln_2: norm(),
        c_fc: LinearConfig::new(WIDTH, 16).init(&device()),
        c_proj: LinearConfig::new(16, WIDTH).init(&device()),
    };
    let model = Gpt {
        wte: embedding(WORDS),
        wpe: embedding(6),
        blocks: vec![block(), block()],
        ln_f: norm(),
    };
    let batch = (labels([4, 6], WORDS, 1), labels([4, 6], WORDS, 2));
    evaluated(model, batch, |model, (tokens, next): Continued| {
        let [batch, length] = tokens.dims();
        let mask = generate_autoregressive_mask(batch, length, &tokens.device());
        let positions = Tensor::arange(0..length as i64, &tokens.device()).unsqueeze();
        let x = model.wte.forward(tokens) + model.wpe.forward(positions);
        let x = model.blocks.iter().fold(x, |x, block| block.forward(x, mask.clone()));
        let head = model.wte.weight.val().transpose().unsqueeze();
        per_sequence(model.ln_f.forward(x).matmul(head), next)
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

/// One layer used three times, factorized embeddings, and a head tied to them with a bias of its own.
#[derive(Module, Debug)]
struct Albert {
    words: Embedding,
    positions: Embedding,
    project: Linear,
    layer: TransformerEncoder,
    transform: Linear,
    norm: LayerNorm,
    bias: burn::module::Param<Tensor<1>>,
}

#[test]
fn albert() {
    let factor = 4;
    let model = Albert {
        words: EmbeddingConfig::new(WORDS, factor).init(&device()),
        positions: EmbeddingConfig::new(6, factor).init(&device()),
        project: LinearConfig::new(factor, WIDTH).init(&device()),
        layer: TransformerEncoderConfig::new(WIDTH, 12, 2, 1).with_dropout(0.0).init(&device()),
        transform: LinearConfig::new(WIDTH, factor).init(&device()),
        norm: LayerNormConfig::new(factor).init(&device()),
        bias: burn::module::Param::from_tensor(Tensor::zeros([WORDS], &device())),
    };
    let batch = (labels([4, 5], WORDS, 1), labels([4, 5], WORDS, 2));
    evaluated(model, batch, |model, (tokens, targets): Continued| {
        let [_, length] = tokens.dims();
        let positions = Tensor::arange(0..length as i64, &tokens.device()).unsqueeze();
        let x = model.words.forward(tokens) + model.positions.forward(positions);
        let x = (0..3).fold(model.project.forward(x), |x, _| {
            model.layer.forward(TransformerEncoderInput::new(x))
        });
        let x = model.norm.forward(gelu(model.transform.forward(x)));
        let head = model.words.weight.val().transpose().unsqueeze();
        let logits = x.matmul(head) + model.bias.val().unsqueeze();
        per_token(logits, targets)
    })
    .mean()
    .with(Likelihood::Categorical)
    .refuses(Check::KfacTrace, MIXED);
}
