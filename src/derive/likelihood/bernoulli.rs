//! Zero or one with probability σ(z), for every output alone.

use burn_backend::{Backend, Shape, TensorMetadata, tensor::FloatTensor};

use super::{
    Noise,
    pattern::{at_most, diagonal_of_sums, scaled_units},
};
use crate::derive::lower::bool_dtype;

/// One uniform value per output.
pub(super) const NOISE: Noise = Noise::Uniform;

/// e = exp(−|z|) and 1/(1 + e): nothing overflows, and no difference loses the digits of a small probability.
fn tail<B: Backend>(z: FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
    let decay = B::float_exp(B::float_neg(B::float_abs(z)));
    let near = B::float_recip(B::float_add_scalar(decay.clone(), 1.0.into()));
    (decay, near)
}

/// σ(1 − σ) = e/(1 + e)²
fn variance<B: Backend>(z: FloatTensor<B>) -> FloatTensor<B> {
    let (decay, near) = tail::<B>(z);
    B::float_mul(B::float_mul(decay, near.clone()), near)
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
    let positive = B::float_greater_elem(z.clone(), 0.0.into(), bool_dtype::<B>(&z.device()));
    let (decay, near) = tail::<B>(z);
    let p = B::float_mask_where(B::float_mul(decay, near.clone()), positive, near);
    let p = B::float_expand(p, all);
    B::float_sub(p.clone(), at_most::<B>(noise, p))
}
