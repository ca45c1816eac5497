//! Values with mean z and a given variance, for every output alone; here with variance 1, by which the caller scales.

use burn_backend::{Backend, Shape, TensorMetadata, tensor::FloatTensor};

use super::{
    Noise,
    pattern::{pattern, square_pattern},
};

/// One standard normal value per output.
pub(super) const NOISE: Noise = Noise::Normal;

/// I·u
pub(super) fn curvature<B: Backend>(_: FloatTensor<B>, u: FloatTensor<B>) -> FloatTensor<B> {
    u
}

/// I·r
pub(super) fn root<B: Backend>(_: FloatTensor<B>, r: FloatTensor<B>) -> FloatTensor<B> {
    r
}

/// I for each row.
pub(super) fn total<B: Backend>(z: FloatTensor<B>) -> FloatTensor<B> {
    let rows = z.shape()[0] as f64;
    B::float_mul_scalar(square_pattern::<B>(&z, |column, row| column == row), rows.into())
}

/// The columns of I.
pub(super) fn columns<B: Backend>(z: &FloatTensor<B>) -> FloatTensor<B> {
    let width = z.shape().last().copied().unwrap_or(1);
    let all: Vec<usize> = [width].into_iter().chain(z.shape().iter().copied()).collect();
    B::float_expand(pattern::<B>(z, width, |column, row| column == row), Shape::from(all))
}

/// z − ŷ, which is the noise.
pub(super) fn draw<B: Backend>(
    _: FloatTensor<B>,
    noise: FloatTensor<B>,
    _: Shape,
) -> FloatTensor<B> {
    noise
}
