//! Runs products and the layers that are neither convolutions nor pools.

use burn_backend::{
    Backend,
    ops::{AttentionModuleOptions, GridSampleOptions, GridSamplePaddingMode},
};

use super::{
    Operand,
    call::{Call, Results, float, int},
    pool::interpolation,
};
use crate::graph::{GridPadding, Interpolation, WithRespectTo};

/// Matrix product over the last two dimensions.
pub(super) fn matmul<B: Backend>(mut call: Call<B>) -> Results<B> {
    match (call.any()?, call.any()?) {
        (Operand::Float(x), Operand::Float(y)) => float(B::float_matmul(x, y)),
        (Operand::Int(x), Operand::Int(y)) => int(B::int_matmul(x, y)),
        _ => Err(call.unsupported("two float or two int")),
    }
}

/// Cross product along a dimension.
pub(super) fn cross<B: Backend>(mut call: Call<B>, dim: usize) -> Results<B> {
    float(B::float_cross(call.float()?, call.float()?, dim))
}

/// `x·weight + bias`.
pub(super) fn linear<B: Backend>(mut call: Call<B>, bias: bool) -> Results<B> {
    let (x, weight) = (call.float()?, call.float()?);
    float(B::linear(x, weight, call.float_if(bias)?))
}

/// Gradient of a linear layer.
pub(super) fn linear_backward<B: Backend>(mut call: Call<B>, to: WithRespectTo) -> Results<B> {
    let first = call.float()?;
    float(match to {
        WithRespectTo::Input => B::linear_x_backward(first, call.float()?),
        WithRespectTo::Weight => B::linear_weight_backward(first, call.float()?),
        WithRespectTo::Bias => B::linear_bias_backward(first),
    })
}

/// Rows of a table.
pub(super) fn embedding<B: Backend>(mut call: Call<B>) -> Results<B> {
    float(B::embedding(call.float()?, call.int()?))
}

/// Gradient of an embedding with respect to its table.
pub(super) fn embedding_backward<B: Backend>(mut call: Call<B>) -> Results<B> {
    let (weights, grad) = (call.float()?, call.float()?);
    float(B::embedding_backward(weights, grad, call.int()?))
}

/// Batch normalization with given statistics.
pub(super) fn batch_norm<B: Backend>(mut call: Call<B>, epsilon: f64) -> Results<B> {
    let (x, gamma, beta) = (call.float()?, call.float()?, call.float()?);
    let (mean, variance) = (call.float()?, call.float()?);
    float(B::batch_norm(x, gamma, beta, mean, variance, epsilon))
}

/// Layer normalization over the last dimension.
pub(super) fn layer_norm<B: Backend>(mut call: Call<B>, epsilon: f64, beta: bool) -> Results<B> {
    let (x, gamma) = (call.float()?, call.float()?);
    float(B::layer_norm(x, gamma, call.float_if(beta)?, epsilon))
}

/// An image read at the points of a grid.
pub(super) fn grid_sample_2d<B: Backend>(
    mut call: Call<B>,
    mode: Interpolation,
    padding: GridPadding,
    align_corners: bool,
) -> Results<B> {
    let padding = match padding {
        GridPadding::Zeros => GridSamplePaddingMode::Zeros,
        GridPadding::Border => GridSamplePaddingMode::Border,
        GridPadding::Reflection => GridSamplePaddingMode::Reflection,
    };
    let options = GridSampleOptions::new(interpolation(mode))
        .with_padding_mode(padding)
        .with_align_corners(align_corners);
    float(B::float_grid_sample_2d(call.float()?, call.float()?, options))
}

/// Scaled dot-product attention.
pub(super) fn attention<B: Backend>(
    mut call: Call<B>,
    mask: bool,
    attn_bias: bool,
    options: AttentionModuleOptions,
) -> Results<B> {
    let (query, key, value) = (call.float()?, call.float()?, call.float()?);
    let mask = call.bool_if(mask)?;
    let bias = call.float_if(attn_bias)?;
    float(B::attention(query, key, value, mask, bias, options))
}

/// Connectionist temporal classification loss.
pub(super) fn ctc_loss<B: Backend>(mut call: Call<B>, blank: usize) -> Results<B> {
    let log_probs = call.float()?;
    let (targets, input_lengths, target_lengths) = (call.int()?, call.int()?, call.int()?);
    float(B::ctc_loss(log_probs, targets, input_lengths, target_lengths, blank))
}

/// Gradient of the loss above, on backends that have one.
pub(super) fn ctc_loss_backward<B: Backend>(mut call: Call<B>, blank: usize) -> Results<B> {
    if !B::has_ctc_loss_backward() {
        return Err(call.unsupported("a backend that has this operation;"));
    }
    let log_probs = call.float()?;
    let (targets, input_lengths, target_lengths) = (call.int()?, call.int()?, call.int()?);
    let grad = call.float()?;
    float(B::ctc_loss_backward(log_probs, targets, input_lengths, target_lengths, grad, blank))
}
