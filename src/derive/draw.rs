//! Targets drawn from a model's outputs by noise that is handed in, generic over the backend as in `reverse`. Knows
//! distributions, not where noise comes from.

use burn_backend::{Backend, Shape, Slice, TensorMetadata, tensor::FloatTensor};

use super::lower::bool_dtype;
use crate::graph::ValueType;

/// What targets are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Distribution {
    /// Classes with probabilities softmax(z) along the last dimension.
    Categorical,
    /// Zero or one with probability σ(z).
    Bernoulli,
    /// Numbers with mean z and variance 1.
    Gaussian,
}

/// So many targets for every sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Draws {
    pub from: Distribution,
    pub count: usize,
}

impl Draws {
    /// Type of the noise for outputs of a type, draws in front: above zero and at most one, one number for each choice
    /// of a class or truth value; standard normal for numbers.
    pub fn noise_type(self, outputs: &ValueType) -> ValueType {
        let mut shape: Vec<usize> =
            [self.count].into_iter().chain(outputs.shape.iter().copied()).collect();
        if let (Distribution::Categorical, Some(classes)) = (self.from, shape.last_mut()) {
            *classes = 1;
        }
        ValueType { shape: shape.into(), dtype: outputs.dtype }
    }
}

/// Derivatives of −log p(ŷ|z) by z for the drawn ŷ, stacked in front and divided by √draws.
pub(super) fn directions<B: Backend>(
    draws: Draws,
    z: FloatTensor<B>,
    noise: FloatTensor<B>,
) -> FloatTensor<B> {
    let one: Vec<usize> = [1].into_iter().chain(z.shape().iter().copied()).collect();
    let mut all = one.clone();
    all[0] = draws.count;
    let z = B::float_reshape(z, Shape::from(one));
    let scale = (draws.count.max(1) as f64).sqrt().recip();
    let directions = match draws.from {
        Distribution::Categorical => categorical::<B>(z, noise, Shape::from(all)),
        Distribution::Bernoulli => {
            let half = B::float_tanh(B::float_mul_scalar(z, 0.5.into()));
            let p = B::float_mul_scalar(B::float_add_scalar(half, 1.0.into()), 0.5.into());
            let p = B::float_expand(p, Shape::from(all));
            let drawn = at_most::<B>(noise, p.clone());
            B::float_sub(p, drawn)
        }
        Distribution::Gaussian => noise,
    };
    match draws.count {
        1 => directions,
        _ => B::float_mul_scalar(directions, scale.into()),
    }
}

/// p − e_k for the first class k at which the running sum of the probabilities reaches the noise.
fn categorical<B: Backend>(z: FloatTensor<B>, noise: FloatTensor<B>, all: Shape) -> FloatTensor<B> {
    let last = all.num_dims().saturating_sub(1);
    let classes = all[last];
    let part = |tensor: FloatTensor<B>, range: std::ops::Range<usize>| {
        let mut slices = vec![Slice::full(); last];
        slices.push(Slice::from(range));
        B::float_slice(tensor, &slices)
    };
    let p = B::softmax(z, last);
    let sums = B::float_cumsum(p.clone(), last);
    // The last sum is one but for rounding; measured by it, the noise is reached in any case.
    let total = part(sums.clone(), classes.saturating_sub(1)..classes);
    let level = B::float_expand(B::float_mul(noise, total), all.clone());
    let reached = at_most::<B>(level, B::float_expand(sums, all.clone()));
    let first = match classes {
        0 | 1 => reached,
        _ => {
            let (device, dtype) = (reached.device(), reached.dtype().into());
            let mut column = all.clone();
            column[last] = 1;
            let before = part(reached.clone(), 0..classes - 1);
            let zeros = B::float_zeros(column, &device, dtype);
            B::float_sub(reached, B::float_cat(vec![zeros, before], last))
        }
    };
    B::float_sub(B::float_expand(p, all), first)
}

/// One where a ≤ b, else zero.
fn at_most<B: Backend>(a: FloatTensor<B>, b: FloatTensor<B>) -> FloatTensor<B> {
    let (dtype, truth) = (a.dtype().into(), bool_dtype::<B>(&a.device()));
    B::bool_into_float(B::float_lower_equal(a, b, truth), dtype)
}
