//! Runs activation functions that take more than one operand or a dimension, and their backward operations.

use burn_backend::{Backend, tensor::FloatTensor};

use super::call::{Call, Results, float};
use crate::graph::{Binary, Literal, Softmax};

/// Activations of two float operands; `None` where the function is not one.
pub(super) fn binary<B: Backend>(
    function: Binary,
    x: FloatTensor<B>,
    y: FloatTensor<B>,
) -> Option<FloatTensor<B>> {
    match function {
        Binary::PRelu => Some(B::prelu(x, y)),
        Binary::ReluBackward => Some(B::relu_backward(x, y)),
        Binary::GeluBackward => Some(B::gelu_backward(x, y)),
        Binary::SigmoidBackward => Some(B::sigmoid_backward(x, y)),
        Binary::LogSigmoidBackward => Some(B::log_sigmoid_backward(x, y)),
        _ => None,
    }
}

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
