//! Attention: of many heads, cross attention, and Burn's function of scaled dot products; position encodings.

use burn::nn::{
    Linear, LinearConfig, PositionalEncoding, PositionalEncodingConfig, RotaryEncoding,
    RotaryEncodingConfig,
    attention::{
        CrossAttention, CrossAttentionConfig, MhaInput, MultiHeadAttention,
        MultiHeadAttentionConfig, generate_autoregressive_mask,
    },
};
use burn::prelude::*;
use burn::tensor::{module::attention, ops::AttentionModuleOptions};

use super::{
    check::Table,
    probe::{Probe, data, device, readout},
};

const SHAPE: [usize; 3] = [2, 4, 6];

fn heads(config: MultiHeadAttentionConfig) -> Probe<MultiHeadAttention> {
    Probe::new(6, config.init(&device()))
}

/// The last one or two of four positions are padding.
pub fn padding() -> Tensor<2, Bool> {
    Tensor::from_data([[false, false, false, true], [false, false, true, true]], &device())
}

#[test]
fn multi_head_attention() {
    let mut table = Table::new("MultiHeadAttention");
    let config = || MultiHeadAttentionConfig::new(6, 2);
    let plain = |model: &Probe<MultiHeadAttention>, x: Tensor<3>| {
        readout(model.layer.forward(MhaInput::self_attn(model.bent(x))).context)
    };
    table.model("self", heads(config()), data(SHAPE, 1), plain);
    table.model(
        "self, quiet softmax",
        heads(config().with_quiet_softmax(true)),
        data(SHAPE, 1),
        plain,
    );
    let without = config()
        .with_key_bias(false)
        .with_query_bias(false)
        .with_value_bias(false)
        .with_output_bias(false);
    table.model("self, without biases", heads(without), data(SHAPE, 1), plain);
    table.everywhere("self, ndarray too", heads(config()), data(SHAPE, 1), plain);
    table.model(
        "weights",
        heads(config()),
        data(SHAPE, 1),
        |model: &Probe<MultiHeadAttention>, x| {
            readout(model.layer.forward(MhaInput::self_attn(model.bent(x))).weights)
        },
    );
    table.model(
        "cross",
        heads(config()),
        (data(SHAPE, 1), data([2, 3, 6], 2)),
        |model, (x, context)| {
            let (query, context) = (model.bent(x), model.bent(context));
            readout(model.layer.forward(MhaInput::new(query, context.clone(), context)).context)
        },
    );
    table.finish();
}

#[test]
fn multi_head_attention_with_masks() {
    let mut table = Table::new("MultiHeadAttention with masks");
    for quiet in [false, true] {
        let config = || MultiHeadAttentionConfig::new(6, 3).with_quiet_softmax(quiet);
        table.model(
            &format!("padding, quiet {quiet}"),
            heads(config()),
            (data(SHAPE, 1), padding()),
            |model, (x, padding)| {
                readout(
                    model
                        .layer
                        .forward(MhaInput::self_attn(model.bent(x)).mask_pad(padding))
                        .context,
                )
            },
        );
        table.model(
            &format!("causal, quiet {quiet}"),
            heads(config()),
            data(SHAPE, 1),
            |model, x: Tensor<3>| {
                let mask = generate_autoregressive_mask(2, 4, &x.device());
                readout(
                    model.layer.forward(MhaInput::self_attn(model.bent(x)).mask_attn(mask)).context,
                )
            },
        );
        table.model(
            &format!("causal and padding, quiet {quiet}"),
            heads(config()),
            (data(SHAPE, 1), padding()),
            |model, (x, padding): (Tensor<3>, Tensor<2, Bool>)| {
                let mask = generate_autoregressive_mask(2, 4, &x.device());
                let input = MhaInput::self_attn(model.bent(x)).mask_pad(padding).mask_attn(mask);
                readout(model.layer.forward(input).context)
            },
        );
    }
    let minus_infinity = MultiHeadAttentionConfig::new(6, 2).with_min_float(f64::NEG_INFINITY);
    table.model(
        "masked with −∞",
        heads(minus_infinity),
        data(SHAPE, 1),
        |model, x: Tensor<3>| {
            let mask = generate_autoregressive_mask(2, 4, &x.device());
            readout(model.layer.forward(MhaInput::self_attn(model.bent(x)).mask_attn(mask)).context)
        },
    );
    table.finish();
}

#[test]
fn cross_attention() {
    let mut table = Table::new("CrossAttention");
    let model = |config: CrossAttentionConfig| Probe::new(6, config.init(&device()));
    let batch = || (data(SHAPE, 1), data([2, 4, 5], 2), padding());
    let plain = |model: &Probe<CrossAttention>,
                 (x, context, _): (Tensor<3>, Tensor<3>, Tensor<2, Bool>)| {
        readout(model.layer.forward(model.bent(x), context, None))
    };
    let masked = |model: &Probe<CrossAttention>,
                  (x, context, mask): (Tensor<3>, Tensor<3>, Tensor<2, Bool>)| {
        readout(model.layer.forward(model.bent(x), context, Some(mask)))
    };
    for quiet in [false, true] {
        for key_heads in [1, 2, 4] {
            let config = CrossAttentionConfig::new(6, 5, 4, key_heads, 3).with_quiet_softmax(quiet);
            table.model(
                &format!("{key_heads} key heads, quiet {quiet}"),
                model(config.clone()),
                batch(),
                plain,
            );
            table.model(
                &format!("{key_heads} key heads, mask, quiet {quiet}"),
                model(config),
                batch(),
                masked,
            );
        }
    }
    table.finish();
}

/// Query, key and value of two heads from one linear map.
fn projected(model: &Probe<Linear>, x: Tensor<3>) -> [Tensor<4>; 3] {
    let all = model.layer.forward(model.bent(x)).reshape([2, 4, 3, 2, 3]);
    [0, 1, 2].map(|part| all.clone().narrow(2, part, 1).squeeze_dim::<4>(2).swap_dims(1, 2))
}

#[test]
fn scaled_dot_products() {
    let mut table = Table::new("tensor::module::attention");
    let model = || Probe::new(6, LinearConfig::new(6, 18).init(&device()));
    let options = [
        ("plain", AttentionModuleOptions::default()),
        ("scale", AttentionModuleOptions { scale: Some(0.8), ..AttentionModuleOptions::default() }),
        (
            "soft cap",
            AttentionModuleOptions { softcap: Some(1.5), ..AttentionModuleOptions::default() },
        ),
        ("causal", AttentionModuleOptions { is_causal: true, ..AttentionModuleOptions::default() }),
    ];
    for (name, options) in options {
        table.model(name, model(), data(SHAPE, 1), move |model, x| {
            let [query, key, value] = projected(model, x);
            readout(attention(query, key, value, None, None, options))
        });
        table.model(
            &format!("{name}, mask"),
            model(),
            (data(SHAPE, 1), padding()),
            move |model, (x, mask)| {
                let [query, key, value] = projected(model, x);
                let mask = mask.reshape([2, 1, 1, 4]).expand([2, 2, 4, 4]);
                readout(attention(query, key, value, Some(mask), None, options))
            },
        );
        table.model(
            &format!("{name}, bias"),
            model(),
            (data(SHAPE, 1), data([2, 2, 4, 4], 2)),
            move |model, (x, bias)| {
                let [query, key, value] = projected(model, x);
                readout(attention(query, key, value, None, Some(bias), options))
            },
        );
    }
    table.finish();
}

#[test]
fn position_encodings() {
    let mut table = Table::new("Encodings");
    let encoding = PositionalEncodingConfig::new(6).with_max_sequence_size(10).init(&device());
    table.layer("sinusoids", SHAPE, encoding, PositionalEncoding::forward);
    let rotary = || RotaryEncodingConfig::new(10, 6).init(&device());
    table.layer("rotary", SHAPE, rotary(), |layer: &RotaryEncoding, x: Tensor<3>| layer.forward(x));
    table.layer("rotary from 3", SHAPE, rotary(), |layer: &RotaryEncoding, x: Tensor<3>| {
        layer.apply(x, 3)
    });
    table.layer("rotary, heads", [2, 2, 4, 6], rotary(), |layer: &RotaryEncoding, x: Tensor<4>| {
        layer.forward(x)
    });
    table.finish();
}
