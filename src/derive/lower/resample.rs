//! Average pools and interpolations as one constant matrix per spatial dimension.
//!
//! The value is Burn's own: a mean of ones is one there, which the sum of their parts may not be, and what is compared with
//! it must find the same number as in the loss.

use burn_backend::{Backend, TensorMetadata, tensor::FloatTensor};

use super::{
    Context,
    detach::with_value,
    inputs::Inputs,
    linear,
    primitive::{constant, indices, reshape},
};
use crate::{error::Error, graph::Op, tensor::Operand};

mod kernels;

use kernels::{averages, equal_shares, interpolation};

/// How one spatial dimension of the output comes from the same dimension of the input.
pub(super) enum AxisMap {
    /// As it is.
    Identity,
    /// Each output is one input.
    Pick(Vec<usize>),
    /// Each output (row) is a weighted sum of inputs (columns).
    Mix(Vec<Vec<f64>>),
}

/// Applies one map per spatial dimension, the last dimension first.
pub(super) fn resample<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let mut x = inputs.float()?;
    let Some(output) = context.outputs.first().map(|output| output.shape.clone()) else {
        return Err(inputs.refuse("its output has no shape"));
    };
    let point = Operand::<B>::Float((context.detach)(x.clone()));
    let shape = x.shape();
    for axis in (0..shape.num_dims().saturating_sub(2)).rev() {
        let (size, target) = (shape[axis + 2], output[axis + 2]);
        let map = match op {
            Op::AvgPool { window, count_include_pad } => {
                averages(window, axis, size, target, *count_include_pad)
            }
            Op::AdaptiveAvgPool => equal_shares(size, target),
            Op::Interpolate { mode, align_corners } => {
                interpolation(*mode, size, target, *align_corners)
            }
            _ => return Err(inputs.refuse("this is no resampling")),
        };
        x = apply_along(x, axis + 2, map, context);
    }
    // Where a tape is left, Burn has no rule for every interpolation.
    if !context.folds && matches!(op, Op::Interpolate { .. }) {
        return Ok(vec![Operand::Float(x)]);
    }
    let results = crate::execute::apply(op, vec![point], context.outputs, context.device)?;
    let values = results.into_iter().filter_map(|result| result.into_float().ok());
    Ok(values.map(|value| Operand::Float(with_value(value, x.clone(), context))).collect())
}

fn apply_along<B: Backend>(
    x: FloatTensor<B>,
    dim: usize,
    map: AxisMap,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    match map {
        AxisMap::Identity => x,
        AxisMap::Pick(rows) => B::float_select(x, dim, indices::<B>(&rows, context.device)),
        AxisMap::Mix(rows) => mix(x, dim, rows, context),
    }
}

/// `[before, size, after]` times the matrix, from the side on which it meets `size`.
fn mix<B: Backend>(
    x: FloatTensor<B>,
    dim: usize,
    rows: Vec<Vec<f64>>,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let shape = x.shape();
    let (target, size) = (rows.len(), shape[dim]);
    let (before, after) = (product(&shape[..dim]), product(&shape[dim + 1..]));
    let dtype = x.dtype();
    let mut result = shape.to_vec();
    result[dim] = target;
    let mixed = if after == 1 {
        let columns =
            (0..size).flat_map(|column| rows.iter().map(move |row| row[column])).collect();
        let matrix = constant::<B>(columns, &[size, target], dtype, context.device);
        B::float_matmul(reshape::<B>(x, &[before, size]), matrix)
    } else {
        let matrix = constant::<B>(rows.concat(), &[1, target, size], dtype, context.device);
        linear::product::<B>(matrix, reshape::<B>(x, &[before, size, after]))
    };
    reshape::<B>(mixed, &result)
}

fn product(sizes: &[usize]) -> usize {
    sizes.iter().product()
}
