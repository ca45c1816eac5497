//! Zero or one with probability σ(z), for every output alone.

use burn_backend::{Backend, Shape, tensor::FloatTensor};

use super::{
    Noise,
    pattern::{at_most, diagonal_of_sums, scaled_units},
};

/// One uniform value per output.
pub(super) const NOISE: Noise = Noise::Uniform;

/// tanh(z/2) = 2σ(z) − 1, which needs no sigmoid of the backend's own precision.
fn centered<B: Backend>(z: FloatTensor<B>) -> FloatTensor<B> {
    B::float_tanh(B::float_mul_scalar(z, 0.5.into()))
}

/// σ(1 − σ) = ¼(1 − tanh²(z/2))
fn variance<B: Backend>(z: FloatTensor<B>) -> FloatTensor<B> {
    let half = centered::<B>(z);
    let square = B::float_mul(half.clone(), half);
    B::float_mul_scalar(B::float_sub_scalar(square, 1.0.into()), (-0.25).into())
}

/// σ(1 − σ)∘u
pub(super) fn curvature<B: Backend>(z: FloatTensor<B>, u: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(variance::<B>(z), u)
}

/// √(σ(1 − σ))∘r
pub(super) fn root<B: Backend>(z: FloatTensor<B>, r: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(B::float_sqrt(variance::<B>(z)), r)
}

/// Σ σ(1 − σ) over rows, on the diagonal.
pub(super) fn total<B: Backend>(z: FloatTensor<B>) -> FloatTensor<B> {
    diagonal_of_sums::<B>(variance::<B>(z))
}

/// The columns of diag(√(σ(1 − σ))).
pub(super) fn columns<B: Backend>(z: &FloatTensor<B>) -> FloatTensor<B> {
    scaled_units::<B>(z, B::float_sqrt(variance::<B>(z.clone())))
}

/// σ − ŷ, with ŷ = 1 where the noise is at most σ.
pub(super) fn draw<B: Backend>(
    z: FloatTensor<B>,
    noise: FloatTensor<B>,
    all: Shape,
) -> FloatTensor<B> {
    let p = B::float_add_scalar(centered::<B>(z), 1.0.into());
    let p = B::float_expand(B::float_mul_scalar(p, 0.5.into()), all);
    B::float_sub(p.clone(), at_most::<B>(noise, p))
}
