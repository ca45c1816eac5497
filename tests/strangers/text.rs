//! Transformers.

use burn_curvature::{Likelihood, check::Check};

use crate::{
    networks::{
        Continued, per_token,
        transformers::{Albert, Gpt, Sizes, TextClassification, TextGeneration},
    },
    stranger::{device, evaluated, labels},
};

const WORDS: usize = 12;

fn sizes(layers: usize) -> Sizes {
    Sizes { width: 8, inner: 16, heads: 2, layers, words: WORDS, length: 6 }
}

/// The numbers of sequences and tokens.
fn continued(shape: [usize; 2]) -> Continued {
    (labels(shape, WORDS, 1), labels(shape, WORDS, 2))
}

/// Why the gradient of a single token cannot be had from K-FAC's rows: attention mixes the tokens of a sequence.
pub const MIXED: &str = "cannot be separated";

fn text_classification(norm_first: bool) {
    let model = TextClassification::new(sizes(2), 3, norm_first, &device());
    let batch = (labels([6, 5], WORDS, 1), labels([6], 3, 2));
    evaluated(model, batch, TextClassification::loss).mean().with(Likelihood::Categorical).passes();
}

#[test]
fn text_classification_with_norms_first() {
    text_classification(true);
}

#[test]
fn text_classification_with_norms_last() {
    text_classification(false);
}

#[test]
fn text_generation() {
    let model = TextGeneration::new(sizes(1), &device());
    evaluated(model, continued([4, 6]), |model, (tokens, next): Continued| {
        per_token(model.forward(tokens), next)
    })
    .mean()
    .with(Likelihood::Categorical)
    .refuses(Check::KfacTrace, MIXED);
}

#[test]
fn gpt_with_a_tied_head() {
    evaluated(Gpt::new(sizes(2), &device()), continued([4, 6]), Gpt::loss)
        .mean()
        .with(Likelihood::Categorical)
        .passes();
}

#[test]
fn albert() {
    let sizes = Sizes { inner: 12, ..sizes(3) };
    let model = Albert::new(sizes, 4, &device());
    evaluated(model, continued([4, 5]), |model, (tokens, targets): Continued| {
        per_token(model.forward(tokens), targets)
    })
    .mean()
    .with(Likelihood::Categorical)
    .refuses(Check::KfacTrace, MIXED);
}
