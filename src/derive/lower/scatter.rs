//! Scatters that assign, multiply or compare, right for repeated indices too. Burn's rules for these assume that no
//! index repeats.

use burn_backend::{
    Backend, Shape, TensorMetadata,
    tensor::{BoolTensor, FloatTensor, IndexingUpdateOp, IntTensor},
};

use super::{
    Context,
    inputs::Inputs,
    native,
    primitive::{bool_dtype, int_dtype, reshape, slice_dim},
};
use crate::{error::Error, graph::Op, tensor::Operand};

/// Largest number of writes of one multiplying or comparing scatter; each becomes a separate operation.
const MOST_WRITES: usize = 64;

/// `x, indices, value` of one scatter, in the form `scatter_nd` or along a dimension.
struct Writes<B: Backend> {
    x: FloatTensor<B>,
    indices: IntTensor<B>,
    value: FloatTensor<B>,
}

/// Scatter, scatter-nd and select-assign. Additions are Burn's own: their rules are exact.
pub(super) fn scatter<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let (Op::Scatter(_, update) | Op::SelectAssign(_, update) | Op::ScatterNd(update)) = op else {
        return native(op, inputs, context);
    };
    if *update == IndexingUpdateOp::Add {
        return native(op, inputs, context);
    }
    let writes = Writes { x: inputs.float()?, indices: inputs.int()?, value: inputs.float()? };
    let y = match (op, update) {
        (Op::Scatter(dim, _), IndexingUpdateOp::Assign) => assign_elements(writes, *dim, context),
        (Op::SelectAssign(dim, _), IndexingUpdateOp::Assign) => {
            assign_slices(writes, *dim, context)
        }
        (Op::ScatterNd(_), IndexingUpdateOp::Assign) => assign_nd(writes, context),
        _ => one_by_one(op, *update, writes, context).map_err(|reason| inputs.refuse(reason))?,
    };
    Ok(vec![Operand::Float(y)])
}

/// Numbers `0..count` along `dim` of `shape`.
fn numbered<B: Backend>(shape: &Shape, dim: usize, context: &Context<'_, B>) -> IntTensor<B> {
    let numbers =
        B::int_arange(0..shape[dim] as i64, context.device, int_dtype::<B>(context.device));
    let mut column = vec![1; shape.num_dims()];
    column[dim] = shape[dim];
    B::int_expand(B::int_reshape(numbers, Shape::from(column)), shape.clone())
}

/// `−1` everywhere: not written.
fn unwritten<B: Backend>(shape: Shape, context: &Context<'_, B>) -> IntTensor<B> {
    B::int_full(shape, (-1i64).into(), context.device, int_dtype::<B>(context.device))
}

/// Which write came last, and whether there was one.
fn last_writes<B: Backend>(
    writer: IntTensor<B>,
    context: &Context<'_, B>,
) -> (IntTensor<B>, BoolTensor<B>) {
    let written =
        B::int_greater_equal_elem(writer.clone(), 0.into(), bool_dtype::<B>(context.device));
    (B::int_clamp_min(writer, 0.into()), written)
}

fn assign_elements<B: Backend>(
    writes: Writes<B>,
    dim: usize,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let Writes { x, indices, value } = writes;
    let numbers = numbered(&indices.shape(), dim, context);
    let writer = B::int_scatter(
        dim,
        unwritten(x.shape(), context),
        indices,
        numbers,
        IndexingUpdateOp::Assign,
    );
    let (writer, written) = last_writes(writer, context);
    B::float_mask_where(x, written, B::float_gather(dim, value, writer))
}

fn assign_slices<B: Backend>(
    writes: Writes<B>,
    dim: usize,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let Writes { x, indices, value } = writes;
    let shape = x.shape();
    let numbers = numbered(&indices.shape(), 0, context);
    let blank = unwritten(Shape::from(vec![shape[dim]]), context);
    let writer = B::int_select_assign(blank, 0, indices, numbers, IndexingUpdateOp::Assign);
    let (writer, written) = last_writes(writer, context);
    let mut column = vec![1; shape.num_dims()];
    column[dim] = shape[dim];
    let written = B::bool_expand(B::bool_reshape(written, Shape::from(column)), shape);
    B::float_mask_where(x, written, B::float_select(value, dim, writer))
}

fn assign_nd<B: Backend>(writes: Writes<B>, context: &Context<'_, B>) -> FloatTensor<B> {
    let Writes { x, indices, value } = writes;
    let (shape, index_shape) = (x.shape(), indices.shape());
    let depth = index_shape.last().copied().unwrap_or(0);
    let count: usize = index_shape[..index_shape.num_dims() - 1].iter().product();
    let (places, slice) = (shape[..depth].to_vec(), shape[depth..].to_vec());
    let size: usize = slice.iter().product();
    let indices = B::int_reshape(indices, Shape::from(vec![count, depth]));
    let numbers = numbered(&Shape::from(vec![count]), 0, context);
    let blank = unwritten(Shape::from(places.clone()), context);
    let writer = B::int_scatter_nd(blank, indices, numbers, IndexingUpdateOp::Assign);
    let (writer, written) = last_writes(writer, context);
    let total: usize = places.iter().product();
    let writer = B::int_reshape(writer, Shape::from(vec![total]));
    let value = B::float_select(reshape::<B>(value, &[count, size]), 0, writer);
    let mut column = places;
    column.resize(shape.num_dims(), 1);
    let written = B::bool_expand(B::bool_reshape(written, Shape::from(column)), shape.clone());
    B::float_mask_where(x, written, reshape::<B>(value, &shape.to_vec()))
}

/// One write after the other, so that no write repeats an index.
fn one_by_one<B: Backend>(
    op: &Op,
    update: IndexingUpdateOp,
    writes: Writes<B>,
    context: &Context<'_, B>,
) -> Result<FloatTensor<B>, String> {
    let Writes { mut x, indices, value } = writes;
    let axis = if let Op::Scatter(dim, _) = op { *dim } else { 0 };
    let writes = indices.shape()[axis];
    if matches!(op, Op::ScatterNd(_)) && indices.shape().num_dims() != 2 {
        return Err(format!(
            "a scatter that does {update:?} takes its indices as a matrix, one write a row"
        ));
    }
    if writes > MOST_WRITES {
        return Err(format!(
            "a scatter that does {update:?} is written out index by index, and {writes} indices are more than \
             {MOST_WRITES}; use Add, or fewer indices"
        ));
    }
    let value_axis = if let Op::SelectAssign(dim, _) = op { *dim } else { axis };
    for write in 0..writes {
        let index = part_int::<B>(indices.clone(), axis, write);
        let value = slice_dim::<B>(value.clone(), value_axis, write..write + 1);
        x = write_once(op, update, Writes { x, indices: index, value }, context);
    }
    Ok(x)
}

fn part_int<B: Backend>(tensor: IntTensor<B>, axis: usize, at: usize) -> IntTensor<B> {
    let slices: Vec<_> = tensor
        .shape()
        .iter()
        .enumerate()
        .map(|(dim, &size)| if dim == axis { (at..at + 1).into() } else { (0..size).into() })
        .collect();
    B::int_slice(tensor, &slices)
}

/// Reads the old value, combines it with the new one and assigns the result.
fn write_once<B: Backend>(
    op: &Op,
    update: IndexingUpdateOp,
    writes: Writes<B>,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let Writes { x, indices, value } = writes;
    let assign = IndexingUpdateOp::Assign;
    match op {
        Op::Scatter(dim, _) => {
            let old = B::float_gather(*dim, x.clone(), indices.clone());
            B::float_scatter(*dim, x, indices, combine(update, old, value, context), assign)
        }
        Op::SelectAssign(dim, _) => {
            let old = B::float_select(x.clone(), *dim, indices.clone());
            B::float_select_assign(x, *dim, indices, combine(update, old, value, context), assign)
        }
        _ => {
            let old = B::float_gather_nd(x.clone(), indices.clone());
            B::float_scatter_nd(x, indices, combine(update, old, value, context), assign)
        }
    }
}

fn combine<B: Backend>(
    update: IndexingUpdateOp,
    old: FloatTensor<B>,
    new: FloatTensor<B>,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let dtype = bool_dtype::<B>(context.device);
    match update {
        IndexingUpdateOp::Mul => B::float_mul(old, new),
        IndexingUpdateOp::Add => B::float_add(old, new),
        IndexingUpdateOp::Assign => new,
        IndexingUpdateOp::Min => {
            let replaced = B::float_lower(new.clone(), old.clone(), dtype);
            B::float_mask_where(old, replaced, new)
        }
        IndexingUpdateOp::Max => {
            let replaced = B::float_greater(new.clone(), old.clone(), dtype);
            B::float_mask_where(old, replaced, new)
        }
    }
}
