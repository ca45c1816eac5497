//! Runs activation functions that take literals or a dimension.

use burn_backend::Backend;

use super::call::{Call, Results, float};
use crate::graph::{Literal, Softmax};

/// `max(0, min(1, alpha·x + beta))`.
pub(super) fn hard_sigmoid<B: Backend>(
    mut call: Call<B>,
    alpha: Literal,
    beta: Literal,
) -> Results<B> {
    float(B::hard_sigmoid(call.float()?, alpha.into(), beta.into()))
}

/// Softmax and its relatives.
pub(super) fn softmax<B: Backend>(mut call: Call<B>, function: Softmax, dim: usize) -> Results<B> {
    let x = call.float()?;
    float(match function {
        Softmax::Softmax => B::softmax(x, dim),
        Softmax::LogSoftmax => B::log_softmax(x, dim),
        Softmax::Softmin => B::softmin(x, dim),
    })
}
