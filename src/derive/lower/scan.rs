//! Products along a dimension without a division, so that they are differentiated right at zeros too.

use burn_backend::{Backend, TensorMetadata, ops::PadMode, tensor::FloatTensor};

use super::{
    inputs::Inputs,
    primitive::{reshape, slice_dim},
};
use crate::{error::Error, graph::Op, tensor::Operand};

/// Product over everything or along one dimension, by halving: `⌈log₂ n⌉` products of halves.
pub(super) fn product<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
) -> Result<Vec<Operand<B>>, Error> {
    let x = inputs.float()?;
    let (mut x, dim) = match op {
        Op::ReduceDim(_, dim) => (x, *dim),
        _ => {
            let size = x.shape().num_elements();
            (reshape::<B>(x, &[size]), 0)
        }
    };
    loop {
        let size = x.shape()[dim];
        if size == 0 {
            let mut shape = x.shape();
            shape[dim] = 1;
            x = B::float_ones(shape, &x.device(), x.dtype().into());
        }
        if size <= 1 {
            return Ok(vec![Operand::Float(x)]);
        }
        let half = size / 2;
        let low = slice_dim::<B>(x.clone(), dim, 0..half);
        let high = slice_dim::<B>(x.clone(), dim, half..2 * half);
        let halved = B::float_mul(low, high);
        x = if size % 2 == 0 {
            halved
        } else {
            B::float_cat(vec![halved, slice_dim::<B>(x, dim, size - 1..size)], dim)
        };
    }
}

/// Running product by doubling strides: `⌈log₂ n⌉` products of the whole.
pub(super) fn running_product<B: Backend>(
    dim: usize,
    mut inputs: Inputs<B>,
) -> Result<Vec<Operand<B>>, Error> {
    let mut x = inputs.float()?;
    let size = x.shape()[dim];
    let mut stride = 1;
    while stride < size {
        let shifted = shift_in_ones::<B>(x.clone(), dim, stride);
        x = B::float_mul(x, shifted);
        stride *= 2;
    }
    Ok(vec![Operand::Float(x)])
}

/// `x` moved `by` places along a dimension, ones at the beginning.
fn shift_in_ones<B: Backend>(x: FloatTensor<B>, dim: usize, by: usize) -> FloatTensor<B> {
    let shape = x.shape();
    let mut padding = vec![(0, 0); shape.num_dims()];
    padding[dim] = (by, 0);
    let kept = slice_dim::<B>(x, dim, 0..shape[dim] - by);
    B::float_pad(kept, &padding, PadMode::Constant(1.0))
}
