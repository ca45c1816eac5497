//! Runs operations that pick or replace elements by index or mask.

use burn_backend::{Backend, tensor::IndexingUpdateOp};

use super::{
    Operand,
    call::{Call, Results, bool, float, int},
};
use crate::graph::Literal;

/// Elements picked along a dimension.
pub(super) fn gather<B: Backend>(mut call: Call<B>, dim: usize) -> Results<B> {
    let x = call.any()?;
    let indices = call.int()?;
    match x {
        Operand::Float(x) => float(B::float_gather(dim, x, indices)),
        Operand::Int(x) => int(B::int_gather(dim, x, indices)),
        Operand::Bool(x) => Ok(vec![call.bool_result(0, B::bool_gather(dim, x, indices))?]),
    }
}

/// Elements replaced, or combined, along a dimension.
pub(super) fn scatter<B: Backend>(
    mut call: Call<B>,
    dim: usize,
    update: IndexingUpdateOp,
) -> Results<B> {
    let x = call.any()?;
    let indices = call.int()?;
    match (x, call.any()?) {
        (Operand::Float(x), Operand::Float(value)) => {
            float(B::float_scatter(dim, x, indices, value, update))
        }
        (Operand::Int(x), Operand::Int(value)) => {
            int(B::int_scatter(dim, x, indices, value, update))
        }
        (Operand::Bool(x), Operand::Bool(value)) if update == IndexingUpdateOp::Add => {
            bool(B::bool_scatter_or(dim, x, indices, value))
        }
        _ => Err(call.unsupported(ONE_KIND)),
    }
}

const ONE_KIND: &str =
    "x and value of one kind with int indices between them; bool has only the update `Add`, or";

/// Slices picked by index tuples.
pub(super) fn gather_nd<B: Backend>(mut call: Call<B>) -> Results<B> {
    let x = call.any()?;
    let indices = call.int()?;
    match x {
        Operand::Float(x) => float(B::float_gather_nd(x, indices)),
        Operand::Int(x) => int(B::int_gather_nd(x, indices)),
        Operand::Bool(_) => Err(call.unsupported("float or int, then int")),
    }
}

/// Slices replaced, or combined, by index tuples.
pub(super) fn scatter_nd<B: Backend>(mut call: Call<B>, update: IndexingUpdateOp) -> Results<B> {
    let x = call.any()?;
    let indices = call.int()?;
    match (x, call.any()?) {
        (Operand::Float(x), Operand::Float(value)) => {
            float(B::float_scatter_nd(x, indices, value, update))
        }
        (Operand::Int(x), Operand::Int(value)) => int(B::int_scatter_nd(x, indices, value, update)),
        _ => Err(call.unsupported("float, int, float or int, int, int")),
    }
}

/// Whole slices picked along a dimension.
pub(super) fn select<B: Backend>(mut call: Call<B>, dim: usize) -> Results<B> {
    let x = call.any()?;
    let indices = call.int()?;
    match x {
        Operand::Float(x) => float(B::float_select(x, dim, indices)),
        Operand::Int(x) => int(B::int_select(x, dim, indices)),
        Operand::Bool(x) => Ok(vec![call.bool_result(0, B::bool_select(x, dim, indices))?]),
    }
}

/// Whole slices replaced, or combined, along a dimension.
pub(super) fn select_assign<B: Backend>(
    mut call: Call<B>,
    dim: usize,
    update: IndexingUpdateOp,
) -> Results<B> {
    let x = call.any()?;
    let indices = call.int()?;
    match (x, call.any()?) {
        (Operand::Float(x), Operand::Float(value)) => {
            float(B::float_select_assign(x, dim, indices, value, update))
        }
        (Operand::Int(x), Operand::Int(value)) => {
            int(B::int_select_assign(x, dim, indices, value, update))
        }
        (Operand::Bool(x), Operand::Bool(value)) if update == IndexingUpdateOp::Add => {
            bool(B::bool_select_or(x, dim, indices, value))
        }
        _ => Err(call.unsupported(ONE_KIND)),
    }
}

/// `value` where the mask is true.
pub(super) fn mask_where<B: Backend>(mut call: Call<B>) -> Results<B> {
    let x = call.any()?;
    let mask = call.bool()?;
    match (x, call.any()?) {
        (Operand::Float(x), Operand::Float(value)) => float(B::float_mask_where(x, mask, value)),
        (Operand::Int(x), Operand::Int(value)) => int(B::int_mask_where(x, mask, value)),
        (Operand::Bool(x), Operand::Bool(value)) => bool(B::bool_mask_where(x, mask, value)),
        _ => Err(call.unsupported("x and value of one kind with a bool mask between them")),
    }
}

/// A literal where the mask is true.
pub(super) fn mask_fill<B: Backend>(mut call: Call<B>, value: Literal) -> Results<B> {
    let x = call.any()?;
    let mask = call.bool()?;
    match x {
        Operand::Float(x) => float(B::float_mask_fill(x, mask, value.into())),
        Operand::Int(x) => int(B::int_mask_fill(x, mask, value.into())),
        Operand::Bool(x) => bool(B::bool_mask_fill(x, mask, value.into())),
    }
}
