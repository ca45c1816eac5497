//! What is propagated back from the outputs: a square root of their curvature, column by column, or draws.

use burn_backend::{Backend, Shape, Slice, TensorMetadata, tensor::FloatTensor};

use super::Cotangents;
use crate::{
    derive::{draw, outputs::required},
    execute::ExecuteError,
};

/// The cotangents one after another, times the square root of `scale`; none where the loss or nothing is propagated back.
pub(super) fn cotangents<B: Backend>(
    kind: Cotangents,
    z: &FloatTensor<B>,
    noise: Option<FloatTensor<B>>,
    scale: Option<FloatTensor<B>>,
) -> Result<Option<Vec<FloatTensor<B>>>, ExecuteError> {
    let columns = z.shape().last().copied().unwrap_or(1);
    let all: Vec<_> = match kind {
        Cotangents::Empirical | Cotangents::None => return Ok(None),
        Cotangents::Drawn(draws) => {
            let directions = draw::directions::<B>(draws, z.clone(), required(noise)?);
            let one = |draw: usize| {
                let slices = [Slice::from(draw..draw + 1)];
                let slice = B::float_slice(directions.clone(), &slices);
                B::float_reshape(slice, z.shape())
            };
            (0..draws.count).map(one).collect()
        }
        Cotangents::Categorical => {
            let last = z.shape().num_dims().saturating_sub(1);
            let p = B::softmax(z.clone(), last);
            let root = B::float_sqrt(p.clone());
            (0..columns)
                .map(|column| {
                    let weight = B::float_slice(root.clone(), &column_of(last, column));
                    let unit = unit::<B>(z, column);
                    B::float_mul(B::float_sub(unit, p.clone()), weight)
                })
                .collect()
        }
        Cotangents::Bernoulli => {
            let half = B::float_tanh(B::float_mul_scalar(z.clone(), 0.5.into()));
            let square = B::float_mul(half.clone(), half);
            let variance =
                B::float_mul_scalar(B::float_sub_scalar(square, 1.0.into()), (-0.25).into());
            let deviation = B::float_sqrt(variance);
            (0..columns)
                .map(|column| B::float_mul(unit::<B>(z, column), deviation.clone()))
                .collect()
        }
        Cotangents::Gaussian => (0..columns).map(|column| unit::<B>(z, column)).collect(),
    };
    let Some(scale) = scale else {
        return Ok(Some(all));
    };
    let ones = Shape::from(vec![1; z.shape().num_dims()]);
    let root = B::float_reshape(B::float_sqrt(scale), ones);
    let scaled = |cotangent| B::float_mul(cotangent, root.clone());
    Ok(Some(all.into_iter().map(scaled).collect()))
}

/// The slices that leave one column.
fn column_of(last: usize, column: usize) -> Vec<Slice> {
    let mut slices = vec![Slice::full(); last];
    slices.push(Slice::from(column..column + 1));
    slices
}

/// Ones in one column, zeros elsewhere.
fn unit<B: Backend>(like: &FloatTensor<B>, column: usize) -> FloatTensor<B> {
    let (shape, device, dtype) = (like.shape(), like.device(), like.dtype());
    let last = shape.num_dims().saturating_sub(1);
    let mut one = shape.to_vec();
    if let Some(size) = one.last_mut() {
        *size = 1;
    }
    let zeros = B::float_zeros(shape, &device, dtype.into());
    let ones = B::float_ones(Shape::from(one), &device, dtype.into());
    B::float_slice_assign(zeros, &column_of(last, column), ones)
}
