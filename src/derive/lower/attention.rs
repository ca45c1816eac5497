//! Scaled dot-product attention as matrix products and a softmax that knows fully masked rows.

use burn_backend::{
    Backend, BoolDType, Shape, TensorMetadata,
    tensor::{BoolTensor, FloatTensor},
};

use super::{
    Context,
    activation::hyperbolic_tangent,
    inputs::Inputs,
    piecewise::fill,
    primitive::{bool_dtype, int_dtype, mul_scalar, scalar},
    softmax::normalized,
};
use crate::{error::Error, graph::Op, tensor::Operand};

/// `softmax(cap·tanh(s·QKᵀ/cap) masked + bias)·V`; a row with every position masked gives zeros.
pub(super) fn attention<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let Op::Attention { mask, attn_bias, scale, softcap, is_causal } = op else {
        return Err(inputs.refuse("this is no attention"));
    };
    let (query, key, value) = (inputs.float()?, inputs.float()?, inputs.float()?);
    let mask = mask.then(|| inputs.bool()).transpose()?;
    let bias = inputs.float_if(*attn_bias)?;
    let width = query.shape().last().copied().unwrap_or(1) as f64;
    let query = mul_scalar::<B>(query, scale.unwrap_or_else(|| width.sqrt().recip()));
    let mut scores = B::float_matmul(query, B::float_transpose(key));
    if let Some(cap) = softcap {
        let tanh = hyperbolic_tangent(mul_scalar::<B>(scores, cap.recip()), context);
        scores = mul_scalar::<B>(tanh, *cap);
    }
    if let Some(hidden) = hidden(&scores.shape(), mask, *is_causal, context) {
        scores = fill(scores, hidden, scalar(f64::NEG_INFINITY), context);
    }
    if let Some(bias) = bias {
        scores = B::float_add(scores, bias);
    }
    Ok(vec![Operand::Float(B::float_matmul(weights(scores, context), value))])
}

/// True where a score is hidden, by the mask or by order.
fn hidden<B: Backend>(
    scores: &Shape,
    mask: Option<BoolTensor<B>>,
    is_causal: bool,
    context: &Context<'_, B>,
) -> Option<BoolTensor<B>> {
    let mask =
        mask.map(
            |mask| {
                if mask.shape() == *scores { mask } else { B::bool_expand(mask, scores.clone()) }
            },
        );
    let dtype = match &mask {
        Some(mask) => mask.dtype().into(),
        None => bool_dtype::<B>(context.device),
    };
    match (mask, is_causal.then(|| later_positions(scores, dtype, context))) {
        (Some(mask), Some(later)) => Some(B::bool_or(mask, later)),
        (mask, later) => mask.or(later),
    }
}

/// True where the key comes after the query; the last query sees every key.
fn later_positions<B: Backend>(
    scores: &Shape,
    truth: BoolDType,
    context: &Context<'_, B>,
) -> BoolTensor<B> {
    let rank = scores.num_dims();
    let (queries, keys) = (scores[rank - 2], scores[rank - 1]);
    let dtype = int_dtype::<B>(context.device);
    let first = keys as i64 - queries as i64;
    let rows = B::int_arange(first..first + queries as i64, context.device, dtype);
    let columns = B::int_arange(0..keys as i64, context.device, dtype);
    let mut shape = vec![1; rank];
    shape[rank - 2] = queries;
    let rows = B::int_expand(B::int_reshape(rows, Shape::from(shape.clone())), scores.clone());
    shape[rank - 2] = 1;
    shape[rank - 1] = keys;
    let columns = B::int_expand(B::int_reshape(columns, Shape::from(shape)), scores.clone());
    B::int_lower(rows, columns, truth)
}

/// Softmax over the last dimension. The shift of a fully masked row is the least finite number and its sum is taken
/// as one: everything stays finite, in the derivatives too.
fn weights<B: Backend>(scores: FloatTensor<B>, context: &Context<'_, B>) -> FloatTensor<B> {
    let last = scores.shape().num_dims() - 1;
    let least = scores.dtype().finfo().map_or(f64::from(f32::MIN), |info| info.min);
    let max = B::float_max_dim((context.detach)(scores.clone()), last);
    let exp = B::float_exp(B::float_sub(scores, B::float_clamp_min(max, scalar(least))));
    let sum = B::float_sum_dim(exp.clone(), last);
    let empty = B::float_equal_elem(sum.clone(), scalar(0.0), bool_dtype::<B>(context.device));
    normalized::<B>(exp, B::float_mask_fill(sum, empty, scalar(1.0)))
}
