//! A decoder with rotary encoding, and with a cache of keys and values.

use burn_curvature::{Likelihood, check::Check};

use crate::{
    networks::{Continued, llama::Llama, per_token, transformers::Sizes},
    stranger::{as_given, device, labels},
    text::MIXED,
};

fn model() -> (Llama, Continued) {
    let sizes = Sizes { width: 8, inner: 12, heads: 2, layers: 2, words: 12, length: 16 };
    (Llama::new(sizes, &device()), (labels([3, 6], 12, 1), labels([3, 6], 12, 2)))
}

#[test]
fn llama() {
    let (model, batch) = model();
    as_given(model, batch, Llama::loss).mean().with(Likelihood::Categorical).passes();
}

#[test]
fn llama_with_a_key_value_cache() {
    let (model, batch) = model();
    as_given(model, batch, |model, (tokens, next): Continued| {
        per_token(model.cached(tokens), next)
    })
    .mean()
    .with(Likelihood::Categorical)
    .refuses(Check::KfacTrace, MIXED);
}
