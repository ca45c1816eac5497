//! Runs operations that move elements without changing them.

use burn_backend::{Backend, Shape, Slice, ops::PadMode};

use super::{
    Operand,
    call::{Call, Results, bool, float, int},
};

/// `x` in another shape of the same size.
pub(super) fn reshape<B: Backend>(mut call: Call<B>) -> Results<B> {
    let shape = call.output(0)?.shape.clone();
    match call.any()? {
        Operand::Float(x) => float(B::float_reshape(x, shape)),
        Operand::Int(x) => int(B::int_reshape(x, shape)),
        Operand::Bool(x) => bool(B::bool_reshape(x, shape)),
    }
}

/// `x` broadcast to another shape.
pub(super) fn expand<B: Backend>(mut call: Call<B>) -> Results<B> {
    let shape: Shape = call.output(0)?.shape.clone();
    match call.any()? {
        Operand::Float(x) => float(B::float_expand(x, shape)),
        Operand::Int(x) => int(B::int_expand(x, shape)),
        Operand::Bool(x) => bool(B::bool_expand(x, shape)),
    }
}

/// Two dimensions exchanged.
pub(super) fn swap_dims<B: Backend>(mut call: Call<B>, a: usize, b: usize) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => float(B::float_swap_dims(x, a, b)),
        Operand::Int(x) => int(B::int_swap_dims(x, a, b)),
        Operand::Bool(x) => bool(B::bool_swap_dims(x, a, b)),
    }
}

/// Dimensions in another order.
pub(super) fn permute<B: Backend>(mut call: Call<B>, axes: &[usize]) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => float(B::float_permute(x, axes)),
        Operand::Int(x) => int(B::int_permute(x, axes)),
        Operand::Bool(x) => bool(B::bool_permute(x, axes)),
    }
}

/// Reversed along dimensions.
pub(super) fn flip<B: Backend>(mut call: Call<B>, axes: &[usize]) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => float(B::float_flip(x, axes)),
        Operand::Int(x) => int(B::int_flip(x, axes)),
        Operand::Bool(x) => bool(B::bool_flip(x, axes)),
    }
}

/// Sliding windows along a dimension.
pub(super) fn unfold<B: Backend>(
    mut call: Call<B>,
    dim: usize,
    size: usize,
    step: usize,
) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => float(B::float_unfold(x, dim, size, step)),
        Operand::Int(x) => int(B::int_unfold(x, dim, size, step)),
        Operand::Bool(x) => bool(B::bool_unfold(x, dim, size, step)),
    }
}

/// A part.
pub(super) fn slice<B: Backend>(mut call: Call<B>, slices: &[Slice]) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => float(B::float_slice(x, slices)),
        Operand::Int(x) => int(B::int_slice(x, slices)),
        Operand::Bool(x) => bool(B::bool_slice(x, slices)),
    }
}

/// A part replaced.
pub(super) fn slice_assign<B: Backend>(mut call: Call<B>, slices: &[Slice]) -> Results<B> {
    match (call.any()?, call.any()?) {
        (Operand::Float(x), Operand::Float(y)) => float(B::float_slice_assign(x, slices, y)),
        (Operand::Int(x), Operand::Int(y)) => int(B::int_slice_assign(x, slices, y)),
        (Operand::Bool(x), Operand::Bool(y)) => bool(B::bool_slice_assign(x, slices, y)),
        _ => Err(call.unsupported("two of one kind")),
    }
}

/// Repeated along a dimension.
pub(super) fn repeat_dim<B: Backend>(mut call: Call<B>, dim: usize, times: usize) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => float(B::float_repeat_dim(x, dim, times)),
        Operand::Int(x) => int(B::int_repeat_dim(x, dim, times)),
        Operand::Bool(x) => bool(B::bool_repeat_dim(x, dim, times)),
    }
}

/// Joined along a dimension.
pub(super) fn cat<B: Backend>(mut call: Call<B>, dim: usize) -> Results<B> {
    let mut floats = Vec::new();
    let mut ints = Vec::new();
    let mut bools = Vec::new();
    for operand in call.rest() {
        match operand {
            Operand::Float(x) => floats.push(x),
            Operand::Int(x) => ints.push(x),
            Operand::Bool(x) => bools.push(x),
        }
    }
    match (floats.is_empty(), ints.is_empty(), bools.is_empty()) {
        (false, true, true) => float(B::float_cat(floats, dim)),
        (true, false, true) => int(B::int_cat(ints, dim)),
        (true, true, false) => bool(B::bool_cat(bools, dim)),
        _ => Err(call.unsupported("one or more, all of one kind")),
    }
}

/// A border around.
pub(super) fn pad<B: Backend>(
    mut call: Call<B>,
    padding: &[(usize, usize)],
    mode: PadMode,
) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => float(B::float_pad(x, padding, mode)),
        Operand::Int(x) => int(B::int_pad(x, padding, mode)),
        Operand::Bool(_) => Err(call.unsupported("float or int")),
    }
}
