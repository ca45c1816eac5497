//! Classes with probabilities p = softmax(z) along the last dimension.

use std::ops::Range;

use burn_backend::{Backend, DType, Shape, TensorMetadata, tensor::FloatTensor};

use super::{
    Noise,
    pattern::{at_most, columns_of, diagonal_of_sums, pattern, square_pattern},
};

/// One uniform value per row of classes.
pub(super) const NOISE: Noise = Noise::UniformPerRow;

fn probabilities<B: Backend>(z: FloatTensor<B>) -> (FloatTensor<B>, usize) {
    let last = z.shape().num_dims().saturating_sub(1);
    (B::softmax(z, last), last)
}

/// (diag(p) − p pᵀ)·u = p∘u − p·⟨p, u⟩
pub(super) fn curvature<B: Backend>(z: FloatTensor<B>, u: FloatTensor<B>) -> FloatTensor<B> {
    let (p, last) = probabilities::<B>(z);
    let weighted = B::float_mul(p.clone(), u);
    let mean = B::float_sum_dim(weighted.clone(), last);
    B::float_sub(weighted, B::float_mul(p, mean))
}

/// (diag(√p) − p √pᵀ)·r
pub(super) fn root<B: Backend>(z: FloatTensor<B>, r: FloatTensor<B>) -> FloatTensor<B> {
    let (p, last) = probabilities::<B>(z);
    let weighted = B::float_mul(B::float_sqrt(p.clone()), r);
    let mean = B::float_sum_dim(weighted.clone(), last);
    B::float_sub(weighted, B::float_mul(p, mean))
}

/// The columns of a triangular square root of diag(p) − p pᵀ: one fewer than there are classes, since the last one
/// vanishes. With tₖ = Σᵢ₌ₖ pᵢ, column k has √(pₖ tₖ₊₁ / tₖ) at k and −pᵢ √(pₖ / (tₖ tₖ₊₁)) at all i > k.
///
/// Tanabe & Sagae 1992, *An exact Cholesky decomposition and the generalized inverse of the variance-covariance matrix of
/// the multinomial distribution, with applications*.
pub(super) fn columns<B: Backend>(z: &FloatTensor<B>) -> FloatTensor<B> {
    let shape = z.shape();
    let classes = shape.last().copied().unwrap_or(1);
    let (p, last) = probabilities::<B>(z.clone());
    let in_front = |x: FloatTensor<B>| {
        let shape: Vec<usize> = [1].into_iter().chain(x.shape().iter().copied()).collect();
        B::float_reshape(x, Shape::from(shape))
    };
    if classes < 2 {
        return in_front(B::float_mul_scalar(p, 0.0.into()));
    }
    let part = |x: &FloatTensor<B>, columns: Range<usize>| {
        B::float_slice(x.clone(), &columns_of(last, columns))
    };
    // Sums of nonnegative terms: no difference loses digits. Where a sum vanishes, so do the terms divided by it.
    let sums = B::float_cumsum(B::float_flip(p.clone(), &[last]), last);
    let least = smallest_normal(p.dtype());
    let tails = B::float_clamp_min(B::float_flip(sums, &[last]), least.into());
    let (own, next) = (part(&tails, 0..classes - 1), part(&tails, 1..classes));
    let first = part(&p, 0..classes - 1);
    let diagonal = B::float_sqrt(B::float_mul(first, B::float_div(next.clone(), own)));
    let below = B::float_neg(B::float_div(diagonal.clone(), next));
    // `[…, columns]` → `[columns, …, 1]`
    let by_column = |x: FloatTensor<B>| {
        let mut turned = x.shape().to_vec();
        turned.rotate_right(1);
        turned.push(1);
        let order: Vec<usize> = std::iter::once(last).chain(0..last).collect();
        B::float_reshape(B::float_permute(x, &order), Shape::from(turned))
    };
    let at = pattern::<B>(z, classes - 1, |column, row| column == row);
    let after = pattern::<B>(z, classes - 1, |column, row| column < row);
    let after = B::float_mul(after, B::float_mul(in_front(p), by_column(below)));
    B::float_add(B::float_mul(at, by_column(diagonal)), after)
}

/// Σ diag(p) − p pᵀ over rows `[rows, classes]`. A diagonal entry is the product of p with the sum of the others, which loses
/// no digits where p is close to one.
pub(super) fn total<B: Backend>(z: FloatTensor<B>) -> FloatTensor<B> {
    let [rows, classes] = [z.shape()[0], z.shape()[1]];
    let (p, last) = probabilities::<B>(z);
    if classes < 2 {
        return B::float_sum_dim(B::float_mul_scalar(p, 0.0.into()), 0);
    }
    let part =
        |x: FloatTensor<B>, columns: Range<usize>| B::float_slice(x, &columns_of(last, columns));
    let none = B::float_zeros(Shape::from(vec![rows, 1]), &p.device(), p.dtype().into());
    let before = part(B::float_cumsum(p.clone(), last), 0..classes - 1);
    let before = B::float_cat(vec![none.clone(), before], last);
    let tails = B::float_flip(B::float_cumsum(B::float_flip(p.clone(), &[last]), last), &[last]);
    let after = B::float_cat(vec![part(tails, 1..classes), none], last);
    let variance = B::float_mul(p.clone(), B::float_add(before, after));
    let others = square_pattern::<B>(&p, |column, row| column != row);
    let products = B::float_matmul(B::float_swap_dims(p.clone(), 0, 1), p);
    B::float_sub(diagonal_of_sums::<B>(variance), B::float_mul(others, products))
}

/// The smallest positive value of a type at full precision.
fn smallest_normal(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::MIN_POSITIVE,
        _ => f64::from(f32::MIN_POSITIVE),
    }
}

/// p − e_k for the first class k at which the running sum of the probabilities reaches the noise.
pub(super) fn draw<B: Backend>(
    z: FloatTensor<B>,
    noise: FloatTensor<B>,
    all: Shape,
) -> FloatTensor<B> {
    let (p, last) = probabilities::<B>(z);
    let classes = all.last().copied().unwrap_or(1);
    let part = |tensor: FloatTensor<B>, range: Range<usize>| {
        B::float_slice(tensor, &columns_of(last, range))
    };
    let sums = B::float_cumsum(p.clone(), last);
    // The last sum is one up to rounding; scaled by it, the noise is always reached.
    let total = part(sums.clone(), classes.saturating_sub(1)..classes);
    let level = B::float_expand(B::float_mul(noise, total), all.clone());
    let reached = at_most::<B>(level, B::float_expand(sums, all.clone()));
    let first = if classes < 2 {
        reached
    } else {
        let (device, dtype) = (reached.device(), reached.dtype().into());
        let mut column = all.clone();
        column[last] = 1;
        let before = part(reached.clone(), 0..classes - 1);
        let zeros = B::float_zeros(column, &device, dtype);
        B::float_sub(reached, B::float_cat(vec![zeros, before], last))
    };
    B::float_sub(B::float_expand(p, all), first)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::backend::Flex;
    use burn_backend::{TensorData, ops::FloatTensorOps, read_sync};

    use super::{columns, total};

    /// Σ over columns of column·columnᵀ against diag(p) − p pᵀ in f64.
    fn check(z: &[f64], single: bool) {
        let classes = z.len();
        let data = TensorData::new(z.to_vec(), [1, classes]);
        let data = if single { data.convert::<f32>() } else { data };
        let outputs = Flex::float_from_data(data, &Default::default());
        let at_once = read_sync(Flex::float_into_data(total::<Flex>(outputs.clone()))).unwrap();
        let at_once: Vec<f64> = at_once.iter::<f64>().collect();
        let columns = columns::<Flex>(&outputs);
        let columns = read_sync(Flex::float_into_data(columns)).unwrap();
        let columns: Vec<f64> = columns.iter::<f64>().collect();
        let columns: Vec<&[f64]> = columns.chunks(classes).collect();
        assert_eq!(columns.len(), (classes - 1).max(1));
        let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = z.iter().map(|z| (z - most).exp()).sum();
        let p: Vec<f64> = z.iter().map(|z| (z - most).exp() / total).collect();
        let bound = if single { 1e-6 } else { 1e-14 };
        for i in 0..classes {
            for j in 0..classes {
                let found: f64 = columns.iter().map(|column| column[i] * column[j]).sum();
                let expected = if i == j { p[i] * (1.0 - p[i]) } else { -p[i] * p[j] };
                let scale = (p[i] * p[j]).sqrt().max(1e-30);
                for found in [found, at_once[i * classes + j]] {
                    let error = (found - expected).abs() / scale;
                    assert!(error < bound, "{z:?}: {i}, {j}: {found} for {expected}");
                }
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
            // Sure of the first, of the last, of one between; and the rest vanishes.
            check(&[40.0, 0.0, 1.0, -3.0], single);
            check(&[0.0, 1.0, -3.0, 40.0], single);
            check(&[-90.0, 0.0, -95.0, 3.0, -99.0], single);
            check(&[200.0, 0.0, -200.0, 1.0], single);
        }
    }
}
