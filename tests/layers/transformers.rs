//! Transformer encoders and decoders, and a language model.

use burn::nn::{
    Embedding, EmbeddingConfig, Linear, LinearConfig, PositionalEncoding, PositionalEncodingConfig,
    activation::ActivationConfig,
    attention::generate_autoregressive_mask,
    loss::CrossEntropyLossConfig,
    transformer::{
        PositionWiseFeedForward, PositionWiseFeedForwardConfig, TransformerDecoder,
        TransformerDecoderConfig, TransformerDecoderInput, TransformerEncoder,
        TransformerEncoderConfig, TransformerEncoderInput,
    },
};
use burn::{module::Module, prelude::*};
use burn_curvature::{CaptureConfig, Objective};

use super::{
    attention::padding,
    check::{Arrays, Flexible, Table, moved},
    probe::{Probe, data, device, labels, readout, spread},
};

const SHAPE: [usize; 3] = [2, 4, 6];

#[test]
fn encoders() {
    let mut table = Table::new("TransformerEncoder");
    let config = || TransformerEncoderConfig::new(6, 8, 2, 2);
    let rows = [
        ("norm last, gelu", config()),
        ("norm first, gelu", config().with_norm_first(true)),
        ("norm last, relu", config().with_activation(ActivationConfig::Relu)),
        (
            "norm first, relu",
            config().with_norm_first(true).with_activation(ActivationConfig::Relu),
        ),
        ("quiet softmax", config().with_quiet_softmax(true)),
        ("gelu approximate", config().with_activation(ActivationConfig::GeluApproximate)),
    ];
    for (name, config) in rows {
        let model = Probe::new(6, config.init(&device()));
        table.model(name, model.clone(), data(SHAPE, 1), |model: &Probe<TransformerEncoder>, x| {
            readout(model.layer.forward(TransformerEncoderInput::new(model.bent(x))))
        });
        table.model(
            &format!("{name}, masks"),
            model,
            (data(SHAPE, 1), padding()),
            |model: &Probe<TransformerEncoder>, (x, padding): (Tensor<3>, Tensor<2, Bool>)| {
                let causal = generate_autoregressive_mask(2, 4, &x.device());
                let input =
                    TransformerEncoderInput::new(model.bent(x)).mask_pad(padding).mask_attn(causal);
                readout(model.layer.forward(input))
            },
        );
    }
    table.finish();
}

#[test]
fn decoders() {
    let mut table = Table::new("TransformerDecoder");
    let config = || TransformerDecoderConfig::new(6, 8, 2, 1);
    let rows = [
        ("norm last, gelu", config()),
        ("norm first, gelu", config().with_norm_first(true)),
        ("norm last, relu", config().with_activation(ActivationConfig::Relu)),
        ("quiet softmax", config().with_quiet_softmax(true)),
    ];
    for (name, config) in rows {
        let model = Probe::new(6, config.init(&device()));
        let batch = (data(SHAPE, 1), data(SHAPE, 2), padding());
        let loss =
            |model: &Probe<TransformerDecoder>,
             (x, memory, padding): (Tensor<3>, Tensor<3>, Tensor<2, Bool>)| {
                let causal = generate_autoregressive_mask(2, 4, &x.device());
                let input = TransformerDecoderInput::new(model.bent(x), model.bent(memory))
                    .target_mask_attn(causal)
                    .memory_mask_pad(padding);
                readout(model.layer.forward(input))
            };
        table.model(name, model, batch, loss);
    }
    table.finish();
}

#[test]
fn feed_forward() {
    let mut table = Table::new("PositionWiseFeedForward");
    let layer = PositionWiseFeedForwardConfig::new(6, 8).init(&device());
    table.layer("gelu", SHAPE, layer, |layer: &PositionWiseFeedForward, x: Tensor<3>| {
        layer.forward(x)
    });
    table.finish();
}

#[derive(Module, Debug)]
struct LanguageModel {
    embedding: Embedding,
    positions: PositionalEncoding,
    encoder: TransformerEncoder,
    head: Linear,
}

fn language_model() -> LanguageModel {
    let device = device();
    LanguageModel {
        embedding: EmbeddingConfig::new(7, 6).init(&device),
        positions: PositionalEncodingConfig::new(6).with_max_sequence_size(8).init(&device),
        encoder: TransformerEncoderConfig::new(6, 8, 2, 2).with_norm_first(true).init(&device),
        head: LinearConfig::new(6, 7).init(&device),
    }
}

type Tokens = (Tensor<2, Int>, Tensor<1, Int>);

fn tokens() -> Tokens {
    (labels([2, 4], 7), labels([8], 7))
}

fn next_token(model: &LanguageModel, (tokens, next): Tokens) -> Tensor<1> {
    let x = model.positions.forward(model.embedding.forward(tokens));
    let causal = generate_autoregressive_mask(2, 4, &x.device());
    let x = model.encoder.forward(TransformerEncoderInput::new(x).mask_attn(causal));
    let logits = model.head.forward(x).reshape([8, 7]);
    let loss = CrossEntropyLossConfig::new().with_smoothing(Some(0.1)).init(&logits.device());
    loss.forward(logits, next)
}

#[test]
fn a_language_model() {
    let mut table = Table::new("Language model");
    table.everywhere(
        "embedding, encoder, head, cross-entropy",
        language_model(),
        tokens(),
        next_token,
    );
    table.finish();
}

/// Burn's gradient of GELU is exact on Flex, and on ndarray that of the tanh approximation: models with GELU are
/// compared with a wider tolerance, and our values are those of GELU on both.
#[test]
fn gelu_on_another_device_is_compared_on_flex() {
    let model = spread(&language_model());
    let close = CaptureConfig::new().evaluation().with_tolerance(1e-3);
    Objective::<Flexible>::capture_with(&close, &model, tokens(), next_token)
        .expect("exact on Flex");
    let (model, tokens) = moved(&model, tokens());
    // The gradient of GELU on ndarray is that of an approximation, so that it is compared on Flex.
    Objective::<Arrays>::capture_with(&close, &model, tokens, next_token).expect("exact on Flex");
}
