//! Matrix products, with the rows of all batches in one product where the right operand is shared by them.

use burn_backend::{Backend, Shape, TensorMetadata, tensor::FloatTensor};

use super::{inputs::Inputs, primitive::reshape};
use crate::{
    error::Error,
    graph::{Op, WithRespectTo},
    tensor::Operand,
};

/// `x·y` over the last two dimensions.
///
/// Where `y` is one matrix for all batches, Burn's rule would compute its gradient per batch and then sum; as one
/// product of all rows it is one product.
pub(super) fn matmul<B: Backend>(mut inputs: Inputs<B>) -> Result<Vec<Operand<B>>, Error> {
    let (x, y) = (inputs.float()?, inputs.float()?);
    Ok(vec![Operand::Float(product::<B>(x, y))])
}

pub(super) fn product<B: Backend>(x: FloatTensor<B>, y: FloatTensor<B>) -> FloatTensor<B> {
    let (left, right) = (x.shape(), y.shape());
    let rank = left.num_dims();
    let shared = rank > 2
        && right.num_dims() == rank
        && right[..rank - 2].iter().all(|&size| size == 1)
        && left[..rank - 2].iter().any(|&size| size != 1);
    if !shared {
        return B::float_matmul(x, y);
    }
    let (inner, columns) = (right[rank - 2], right[rank - 1]);
    let matrix = reshape::<B>(y, &[inner, columns]);
    let rows = B::float_matmul(flatten_rows::<B>(x), matrix);
    reshape::<B>(rows, &with_last(&left, columns))
}

/// All leading dimensions in one.
fn flatten_rows<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape = x.shape();
    let last = shape.last().copied().unwrap_or(1);
    let rows: usize = shape[..shape.num_dims() - 1].iter().product();
    reshape::<B>(x, &[rows, last])
}

fn with_last(shape: &Shape, last: usize) -> Vec<usize> {
    let mut dims = shape.to_vec();
    if let Some(size) = dims.last_mut() {
        *size = last;
    }
    dims
}

/// `x·W + b` and its three transposes, as plain products and sums.
pub(super) fn linear<B: Backend>(op: &Op, mut inputs: Inputs<B>) -> Result<Vec<Operand<B>>, Error> {
    let y = match op {
        Op::LinearBackward(WithRespectTo::Input) => {
            let (weight, grad) = (inputs.float()?, inputs.float()?);
            let shape = with_last(&grad.shape(), weight.shape()[0]);
            let rows = B::float_matmul(flatten_rows::<B>(grad), B::float_transpose(weight));
            reshape::<B>(rows, &shape)
        }
        Op::LinearBackward(WithRespectTo::Weight) => {
            let (x, grad) = (inputs.float()?, inputs.float()?);
            B::float_matmul(B::float_transpose(flatten_rows::<B>(x)), flatten_rows::<B>(grad))
        }
        Op::LinearBackward(WithRespectTo::Bias) => {
            let sum = B::float_sum_dim(flatten_rows::<B>(inputs.float()?), 0);
            let size = sum.shape().num_elements();
            reshape::<B>(sum, &[size])
        }
        _ => {
            let (x, weight) = (inputs.float()?, inputs.float()?);
            let bias = inputs.float_if(matches!(op, Op::Linear { bias: true }))?;
            affine::<B>(x, weight, bias)
        }
    };
    Ok(vec![Operand::Float(y)])
}

fn affine<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let columns = weight.shape()[1];
    let shape = with_last(&x.shape(), columns);
    let mut rows = B::float_matmul(flatten_rows::<B>(x), weight);
    if let Some(bias) = bias {
        rows = B::float_add(rows, reshape::<B>(bias, &[1, columns]));
    }
    reshape::<B>(rows, &shape)
}
