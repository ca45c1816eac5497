//! Loops over slices, in parallel where there is enough to do. Knows numbers only.

use std::ops::{Add, AddAssign, Mul};

/// A number of f32 or f64.
pub(super) trait Number:
    Copy + Default + Send + Sync + Into<f64> + Add<Output = Self> + AddAssign + Mul<Output = Self>
{
}

impl Number for f32 {}
impl Number for f64 {}

/// What one thread does at a time.
const CHUNK: usize = 1 << 14;
/// Fewer numbers are not worth waking a thread for.
#[cfg(feature = "flex")]
const FEW: usize = 1 << 17;
/// Numbers that are summed in their own precision before their sum is added in f64.
const RUN: usize = 1 << 10;
/// Sums kept side by side, so that a processor can add several at once.
const LANES: usize = 16;

/// `y ← a·y + b·x` for pairs `(y, x)` of equal lengths.
pub(super) fn combine<N: Number>(pairs: Vec<(&mut [N], &[N])>, a: N, b: N) {
    let chunks = pairs
        .into_iter()
        .flat_map(|(y, x)| y.chunks_mut(CHUNK).zip(x.chunks(CHUNK)));
    let chunks: Vec<(&mut [N], &[N])> = chunks.collect();
    let each = |(y, x): (&mut [N], &[N])| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = a * *y + b * x;
        }
    };
    #[cfg(feature = "flex")]
    if chunks.iter().map(|(y, _)| y.len()).sum::<usize>() >= FEW {
        use rayon::prelude::*;
        chunks.into_par_iter().for_each(each);
        return;
    }
    chunks.into_iter().for_each(each);
}

/// `Σ xᵀy` over pairs of equal lengths, chunk by chunk in order.
pub(super) fn dot<N: Number>(pairs: &[(&[N], &[N])]) -> f64 {
    let chunks = pairs
        .iter()
        .flat_map(|(x, y)| x.chunks(CHUNK).zip(y.chunks(CHUNK)));
    #[cfg(feature = "flex")]
    if pairs.iter().map(|(x, _)| x.len()).sum::<usize>() >= FEW {
        use rayon::prelude::*;
        let chunks: Vec<(&[N], &[N])> = chunks.collect();
        let parts = chunks.into_par_iter().map(|(x, y)| dot_of_chunk(x, y));
        return parts.collect::<Vec<f64>>().into_iter().sum();
    }
    chunks.map(|(x, y)| dot_of_chunk(x, y)).sum()
}

fn dot_of_chunk<N: Number>(x: &[N], y: &[N]) -> f64 {
    let runs = x.chunks(RUN).zip(y.chunks(RUN));
    runs.map(|(x, y)| dot_of_run(x, y)).sum()
}

fn dot_of_run<N: Number>(x: &[N], y: &[N]) -> f64 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let mut lanes = [N::default(); LANES];
    for (x, y) in x.iter().zip(y) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    let rest = x_rest.iter().zip(y_rest);
    let rest: f64 = rest.map(|(&x, &y)| (x * y).into()).sum();
    lanes.into_iter().map(Into::into).sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, RUN, combine, dot};

    /// Small whole numbers, whose products and sums are exact.
    fn numbers(count: usize, shift: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + shift) % 5) as f32).collect()
    }

    #[test]
    fn every_number_counts_once_at_every_length() {
        for count in [0, 1, 15, 16, 17, RUN, RUN + 3, CHUNK + 1, 9 * CHUNK + 5] {
            let (x, mut y) = (numbers(count, 1), numbers(count, 3));
            let (u, mut v) = (numbers(3, 2), numbers(3, 4));
            let product = |x: &[f32], y: &[f32]| -> f64 {
                x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum()
            };
            let expected = product(&x, &y) + product(&u, &v);
            assert_eq!(dot(&[(&x, &y), (&u, &v)]), expected, "{count}");
            let sum = |x: &[f32], y: &[f32]| -> Vec<f32> {
                x.iter().zip(y).map(|(x, y)| 2.0 * y - 3.0 * x).collect()
            };
            let expected = (sum(&x, &y), sum(&u, &v));
            combine(vec![(&mut y, &x), (&mut v, &u)], 2.0, -3.0);
            assert_eq!((y, v), expected);
        }
    }

    #[test]
    fn many_equal_numbers_are_summed_without_drift() {
        let x = vec![0.1f32; 20 * CHUNK];
        let exact = f64::from(0.1f32 * 0.1) * x.len() as f64;
        let found = dot(&[(&x, &x)]);
        assert!((found / exact - 1.0).abs() < 1e-6, "{found} {exact}");
    }
}
