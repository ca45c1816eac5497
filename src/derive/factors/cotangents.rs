//! What is propagated back from the outputs: a square root of their curvature, column by column, or draws.

use std::ops::Range;

use burn_backend::{Backend, DType, Shape, Slice, TensorMetadata, tensor::FloatTensor};

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
        Cotangents::Categorical => categorical::<B>(z),
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

/// The columns of a triangular square root of diag(p) − p pᵀ, p = softmax(z): one fewer than there are classes, since
/// the last one vanishes. With tₖ = Σᵢ₌ₖ pᵢ, column k has √(pₖ tₖ₊₁ / tₖ) at k and −pᵢ √(pₖ / (tₖ tₖ₊₁)) at all i > k.
///
/// Tanabe & Sagae 1992, *An exact Cholesky decomposition and the generalized inverse of the variance-covariance matrix of
/// the multinomial distribution, with applications*.
fn categorical<B: Backend>(z: &FloatTensor<B>) -> Vec<FloatTensor<B>> {
    let shape = z.shape();
    let last = shape.num_dims().saturating_sub(1);
    let classes = shape.last().copied().unwrap_or(1);
    let part = |x: &FloatTensor<B>, columns: Range<usize>| {
        B::float_slice(x.clone(), &columns_of(last, columns))
    };
    let p = B::softmax(z.clone(), last);
    if classes < 2 {
        return vec![B::float_mul_scalar(p, 0.0.into())];
    }
    // Sums of what is not negative: no difference loses digits. Where they vanish, so does what is divided by them.
    let sums = B::float_cumsum(B::float_flip(p.clone(), &[last]), last);
    let least = smallest_normal(p.dtype());
    let tails = B::float_clamp_min(B::float_flip(sums, &[last]), least.into());
    let (own, next) = (part(&tails, 0..classes - 1), part(&tails, 1..classes));
    let first = part(&p, 0..classes - 1);
    let diagonal = B::float_sqrt(B::float_mul(first, B::float_div(next.clone(), own)));
    let below = B::float_neg(B::float_div(diagonal.clone(), next));
    let column = |k: usize| {
        let mut rows = Vec::new();
        if k > 0 {
            let mut before = shape.to_vec();
            before[last] = k;
            let (device, dtype) = (z.device(), z.dtype().into());
            rows.push(B::float_zeros(Shape::from(before), &device, dtype));
        }
        rows.push(part(&diagonal, k..k + 1));
        let after = part(&p, k + 1..classes);
        rows.push(B::float_mul(after, part(&below, k..k + 1)));
        B::float_cat(rows, last)
    };
    (0..classes - 1).map(column).collect()
}

/// The smallest number of a type with all its digits.
fn smallest_normal(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::MIN_POSITIVE,
        _ => f64::from(f32::MIN_POSITIVE),
    }
}

/// The slices that leave some columns.
fn columns_of(last: usize, columns: Range<usize>) -> Vec<Slice> {
    let mut slices = vec![Slice::full(); last];
    slices.push(Slice::from(columns));
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
    B::float_slice_assign(zeros, &columns_of(last, column..column + 1), ones)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::backend::Flex;
    use burn_backend::{TensorData, ops::FloatTensorOps, read_sync};

    use super::categorical;

    /// Σ over columns of column·columnᵀ against diag(p) − p pᵀ in f64.
    fn check(z: &[f64], single: bool) {
        let classes = z.len();
        let data = TensorData::new(z.to_vec(), [1, classes]);
        let data = match single {
            true => data.convert::<f32>(),
            false => data,
        };
        let columns = categorical::<Flex>(&Flex::float_from_data(data, &Default::default()));
        assert_eq!(columns.len(), (classes - 1).max(1));
        let read = |column| read_sync(Flex::float_into_data(column)).unwrap();
        let columns = columns.into_iter().map(read);
        let columns: Vec<Vec<f64>> = columns.map(|data| data.iter::<f64>().collect()).collect();
        let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = z.iter().map(|z| (z - most).exp()).sum();
        let p: Vec<f64> = z.iter().map(|z| (z - most).exp() / total).collect();
        let bound = if single { 1e-6 } else { 1e-14 };
        for i in 0..classes {
            for j in 0..classes {
                let found: f64 = columns.iter().map(|column| column[i] * column[j]).sum();
                let expected = if i == j { p[i] * (1.0 - p[i]) } else { -p[i] * p[j] };
                let scale = (p[i] * p[j]).sqrt().max(1e-30);
                let error = (found - expected).abs() / scale;
                assert!(error < bound, "{z:?}: {i}, {j}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn columns_of_the_categorical_root_make_its_matrix() {
        for single in [false, true] {
            check(&[0.3], single);
            check(&[0.3, -1.2], single);
            check(&[0.3, -1.2, 0.8, 2.5, -0.1], single);
            check(&[0.0; 9], single);
            // Sure of the first, of the last, of one between; and what is left vanishes.
            check(&[40.0, 0.0, 1.0, -3.0], single);
            check(&[0.0, 1.0, -3.0, 40.0], single);
            check(&[-90.0, 0.0, -95.0, 3.0, -99.0], single);
            check(&[200.0, 0.0, -200.0, 1.0], single);
        }
    }
}
