//! Embeddings, borders and windows as selections of whole slices.

use burn_backend::{
    Backend, Shape, TensorMetadata,
    ops::PadMode,
    tensor::{FloatTensor, IndexingUpdateOp},
};

use super::{
    Context,
    inputs::Inputs,
    native,
    primitive::{indices, reshape, slice_dim},
};
use crate::{error::Error, graph::Op, tensor::Operand};

/// Embedding, padding, unfolding.
pub(super) fn indexing<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let y = match op {
        Op::Embedding => embedding::<B>(inputs)?,
        Op::EmbeddingBackward => embedding_backward::<B>(inputs)?,
        Op::Pad { padding, mode: PadMode::Reflect } => {
            border(inputs.float()?, padding, context, |position, size| {
                let folded = position.unsigned_abs();
                if folded < size { folded } else { (2 * size - 2).saturating_sub(folded) }
            })
        }
        Op::Pad { padding, mode: PadMode::Edge } => {
            border(inputs.float()?, padding, context, |position, size| {
                position.clamp(0, size as isize - 1).unsigned_abs()
            })
        }
        Op::Unfold { dim, size, .. } if too_short(inputs.peek(), *dim, *size) => {
            return native(op, inputs, context);
        }
        Op::Unfold { dim, size, step } => windows(inputs.float()?, *dim, *size, *step, context),
        Op::Unfold4d { kernel, stride, padding, dilation } => {
            let axes = [0, 1].map(|axis| Axis {
                kernel: kernel[axis],
                stride: stride[axis],
                padding: padding[axis],
                dilation: dilation[axis],
            });
            patches(inputs.float()?, axes, context)
        }
        _ => return native(op, inputs, context),
    };
    Ok(vec![Operand::Float(y)])
}

fn embedding<B: Backend>(mut inputs: Inputs<B>) -> Result<FloatTensor<B>, Error> {
    let (weights, rows) = (inputs.float()?, inputs.int()?);
    let mut shape = rows.shape().to_vec();
    shape.push(weights.shape()[1]);
    let count = rows.shape().num_elements();
    let selected = B::float_select(weights, 0, B::int_reshape(rows, Shape::from(vec![count])));
    Ok(reshape::<B>(selected, &shape))
}

fn embedding_backward<B: Backend>(mut inputs: Inputs<B>) -> Result<FloatTensor<B>, Error> {
    let (weights, grad, rows) = (inputs.float()?, inputs.float()?, inputs.int()?);
    let (shape, count) = (weights.shape(), rows.shape().num_elements());
    let zeros = B::float_zeros(shape.clone(), &weights.device(), grad.dtype().into());
    let grad = reshape::<B>(grad, &[count, shape[1]]);
    let rows = B::int_reshape(rows, Shape::from(vec![count]));
    Ok(B::float_select_assign(zeros, 0, rows, grad, IndexingUpdateOp::Add))
}

/// A border filled from inside: `source` gives the index of the element at a position.
fn border<B: Backend>(
    mut x: FloatTensor<B>,
    padding: &[(usize, usize)],
    context: &Context<'_, B>,
    source: impl Fn(isize, usize) -> usize,
) -> FloatTensor<B> {
    for (dim, &(before, after)) in padding.iter().enumerate() {
        if before == 0 && after == 0 {
            continue;
        }
        let size = x.shape()[dim];
        let rows: Vec<usize> = (0..before + size + after)
            .map(|position| source(position as isize - before as isize, size))
            .collect();
        x = B::float_select(x, dim, indices::<B>(&rows, context.device));
    }
    x
}

/// Whether not even one window fits.
fn too_short<B: Backend>(operands: &[Operand<B>], dim: usize, size: usize) -> bool {
    operands.first().is_some_and(|x| x.shape()[dim] < size)
}

/// Sliding windows along a dimension, in a new last dimension.
fn windows<B: Backend>(
    x: FloatTensor<B>,
    dim: usize,
    size: usize,
    step: usize,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let shape = x.shape();
    let count = (shape[dim] - size) / step + 1;
    let picked = if step == size {
        slice_dim::<B>(x, dim, 0..count * size)
    } else {
        let rows: Vec<usize> =
            (0..count).flat_map(|window| (0..size).map(move |k| window * step + k)).collect();
        B::float_select(x, dim, indices::<B>(&rows, context.device))
    };
    let mut split = shape.to_vec();
    split[dim] = count;
    split.insert(dim + 1, size);
    let mut order: Vec<usize> = (0..split.len()).filter(|&axis| axis != dim + 1).collect();
    order.push(dim + 1);
    B::float_permute(reshape::<B>(picked, &split), &order)
}

/// Sliding patches along one image axis.
#[derive(Clone, Copy)]
struct Axis {
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
}

impl Axis {
    fn positions(&self, size: usize) -> usize {
        (size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) / self.stride + 1
    }

    /// Padded positions read, kernel element by kernel element.
    fn rows(&self, size: usize) -> Vec<usize> {
        let positions = self.positions(size);
        (0..self.kernel)
            .flat_map(|k| (0..positions).map(move |position| (k, position)))
            .map(|(k, position)| k * self.dilation + position * self.stride)
            .collect()
    }
}

/// Patches of an image, `[batch, channels·kernel, positions]`.
fn patches<B: Backend>(
    x: FloatTensor<B>,
    [vertical, horizontal]: [Axis; 2],
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let [batch, channels, height, width] = x.shape().dims();
    let padding = [
        (0, 0),
        (0, 0),
        (vertical.padding, vertical.padding),
        (horizontal.padding, horizontal.padding),
    ];
    let x = if vertical.padding + horizontal.padding == 0 {
        x
    } else {
        B::float_pad(x, &padding, PadMode::Constant(0.0))
    };
    let x = B::float_select(x, 2, indices::<B>(&vertical.rows(height), context.device));
    let x = B::float_select(x, 3, indices::<B>(&horizontal.rows(width), context.device));
    let (rows, columns) = (vertical.positions(height), horizontal.positions(width));
    let split = [batch, channels, vertical.kernel, rows, horizontal.kernel, columns];
    let x = B::float_permute(reshape::<B>(x, &split), &[0, 1, 2, 4, 3, 5]);
    reshape::<B>(x, &[batch, channels * vertical.kernel * horizontal.kernel, rows * columns])
}
