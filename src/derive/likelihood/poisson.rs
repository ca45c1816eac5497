//! Counts with rate λ = exp(z), for every output alone.

use std::f64::consts::FRAC_1_SQRT_2;

use burn_backend::{Backend, DType, Shape, Slice, TensorData, TensorMetadata, tensor::FloatTensor};

use super::{
    Noise,
    pattern::{diagonal_of_sums, scaled_units},
};
use crate::derive::lower::bool_dtype;

/// One standard normal value per output.
pub(super) const NOISE: Noise = Noise::Normal;

/// The largest rate for which counts are drawn exactly.
const LARGEST_RATE: f64 = 16.0;

/// Counts above this have a probability below 1e-9 at [`LARGEST_RATE`].
const MOST: usize = 48;

/// Largest number of elements that are compared at once.
const MOST_AT_ONCE: usize = 1 << 17;

/// λ∘u
pub(super) fn curvature<B: Backend>(z: FloatTensor<B>, u: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(B::float_exp(z), u)
}

/// √λ = exp(z/2), which overflows later than λ.
fn deviation<B: Backend>(z: FloatTensor<B>) -> FloatTensor<B> {
    B::float_exp(B::float_mul_scalar(z, 0.5.into()))
}

/// √λ∘r
pub(super) fn root<B: Backend>(z: FloatTensor<B>, r: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(deviation::<B>(z), r)
}

/// Σ λ over rows, on the diagonal.
pub(super) fn total<B: Backend>(z: FloatTensor<B>) -> FloatTensor<B> {
    diagonal_of_sums::<B>(B::float_exp(z))
}

/// The columns of diag(√λ).
pub(super) fn columns<B: Backend>(z: &FloatTensor<B>) -> FloatTensor<B> {
    scaled_units::<B>(z, deviation::<B>(z.clone()))
}

/// λ − ŷ for noise ε.
///
/// Up to a rate of 16, ŷ is the smallest count whose cumulative probability reaches Φ(ε). Above, ŷ = λ + √λ ε has the
/// same mean and variance, so that the mean of (λ − ŷ)² is λ at every rate.
pub(super) fn draw<B: Backend>(
    z: FloatTensor<B>,
    noise: FloatTensor<B>,
    all: Shape,
) -> FloatTensor<B> {
    let rate = B::float_exp(z.clone());
    let spread = B::float_expand(deviation::<B>(z), all.clone());
    let normal = B::float_neg(B::float_mul(spread, noise.clone()));
    let small = B::float_clamp_max(rate.clone(), LARGEST_RATE.into());
    let counts = counts::<B>(small.clone(), noise, &all);
    let counted = B::float_sub(B::float_expand(small, all.clone()), counts);
    let truth = bool_dtype::<B>(&rate.device());
    let rate = B::float_expand(rate, all);
    let exact = B::float_lower_equal_elem(rate, LARGEST_RATE.into(), truth);
    B::float_mask_where(normal, exact, counted)
}

/// The number of counts k whose cumulative probability P(ŷ ≤ k) is below Φ(ε): those with Σᵢ₌₀ᵏ λⁱ/i! below Φ(ε)·e^λ.
///
/// Many k at once, since operations on the outputs of a small network take longer to start than to run.
fn counts<B: Backend>(rate: FloatTensor<B>, noise: FloatTensor<B>, all: &Shape) -> FloatTensor<B> {
    let (device, dtype) = (rate.device(), rate.dtype());
    let erf = B::float_erf(B::float_mul_scalar(noise, FRAC_1_SQRT_2.into()));
    let level = B::float_mul_scalar(B::float_add_scalar(erf, 1.0.into()), 0.5.into());
    // A level of one is never reached by sums that are rounded.
    let level = B::float_clamp_max(level, (1.0 - largest_rounding(dtype)).into());
    let level = B::float_mul(level, B::float_expand(B::float_exp(rate.clone()), all.clone()));
    let mut term = B::float_ones(rate.shape(), &device, dtype.into());
    let mut sum = term.clone();
    let mut counts = below::<B>(&level, sum.clone());
    let block = (MOST_AT_ONCE / all.num_elements().max(1)).clamp(1, MOST);
    for start in (1..MOST).step_by(block) {
        let size = block.min(MOST - start);
        let mut shape = rate.shape();
        shape[0] = size;
        let inverses: Vec<f64> = (start..start + size).map(|k| (k as f64).recip()).collect();
        let mut column = vec![1; shape.num_dims()];
        column[0] = size;
        let inverses = TensorData::new(inverses, column).convert_dtype(dtype);
        let ratios = B::float_expand(rate.clone(), shape.clone());
        let ratios = B::float_mul(ratios, B::float_from_data(inverses, &device));
        let terms = B::float_mul(B::float_cumprod(ratios, 0), B::float_expand(term, shape.clone()));
        let sums = B::float_add(B::float_cumsum(terms.clone(), 0), B::float_expand(sum, shape));
        let last = |of: FloatTensor<B>| B::float_slice(of, &[Slice::from(size - 1..size)]);
        (term, sum) = (last(terms), last(sums.clone()));
        counts = B::float_add(counts, below::<B>(&level, sums));
    }
    counts
}

/// How many of some sums `[sums, …]` are below each level `[draws, …]`.
fn below<B: Backend>(level: &FloatTensor<B>, sums: FloatTensor<B>) -> FloatTensor<B> {
    let (own, dtype, truth) =
        (level.shape(), level.dtype().into(), bool_dtype::<B>(&level.device()));
    let rest = &own[1..];
    let whole = |sums, draws| -> Shape { [&[sums, draws], rest].concat().into() };
    let count = sums.shape()[0];
    let sums = B::float_reshape(sums, whole(count, 1));
    let level = B::float_reshape(level.clone(), whole(1, own[0]));
    let all = whole(count, own[0]);
    let below =
        B::float_greater(B::float_expand(level, all.clone()), B::float_expand(sums, all), truth);
    B::float_reshape(B::float_sum_dim(B::bool_into_float(below, dtype), 0), own)
}

/// The relative error of a sum of this number of terms.
fn largest_rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 16.0 * f64::EPSILON,
        _ => 16.0 * f64::from(f32::EPSILON),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::backend::Flex;
    use burn_backend::{Shape, TensorData, ops::FloatTensorOps, read_sync};
    use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};
    use rand_distr::{Distribution, StandardNormal};

    use super::draw;

    /// ŷ for many noises at one rate.
    fn targets(rate: f64, draws: usize) -> Vec<f64> {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(7);
        let noise: Vec<f64> = (0..draws).map(|_| StandardNormal.sample(&mut generator)).collect();
        let device = Default::default();
        let z = Flex::float_from_data(TensorData::new(vec![rate.ln()], [1, 1]), &device);
        let noise = Flex::float_from_data(TensorData::new(noise, [draws, 1]), &device);
        let found = draw::<Flex>(z, noise, Shape::from(vec![draws, 1]));
        let found = read_sync(Flex::float_into_data(found)).unwrap();
        found.iter::<f64>().map(|direction| rate - direction).collect()
    }

    #[test]
    fn drawn_targets_have_the_probabilities_of_counts() {
        const DRAWS: usize = 40_000;
        for rate in [0.2_f64, 1.0, 4.5, 15.0] {
            let targets = targets(rate, DRAWS);
            let mut probability = (-rate).exp();
            for count in 0..40 {
                let found = targets.iter().filter(|y| (*y - count as f64).abs() < 1e-6).count();
                let expected = probability * DRAWS as f64;
                let error = (found as f64 - expected).abs();
                assert!(error < 5.0 * expected.sqrt() + 1.0, "{rate}, {count}: {found}");
                probability *= rate / (count + 1) as f64;
            }
        }
    }

    #[test]
    fn targets_have_the_rate_as_mean_and_variance_at_any_rate() {
        for rate in [0.5_f64, 15.9, 16.1, 1e4] {
            let targets = targets(rate, 40_000);
            let count = targets.len() as f64;
            let mean = targets.iter().sum::<f64>() / count;
            let variance = targets.iter().map(|y| (y - rate).powi(2)).sum::<f64>() / count;
            assert!((mean - rate).abs() < 5.0 * (rate / count).sqrt(), "{rate}: {mean}");
            assert!((variance / rate - 1.0).abs() < 0.05, "{rate}: {variance}");
        }
    }
}
