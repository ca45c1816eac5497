//! Loops over slices, in parallel where there is enough to do.
//!
//! They count indices: pairs of iterators are only fast where the compiler happens to inline them.
#![allow(clippy::needless_range_loop)]

use std::ops::{Add, AddAssign, Mul};

/// A number of f32 or f64.
pub(super) trait Number:
    Copy + Default + Send + Sync + Into<f64> + Add<Output = Self> + AddAssign + Mul<Output = Self>
{
    /// `y ← a·y + b·x` for pairs `(y, x)` of equal lengths, and the requested sum.
    fn combine(pairs: Vec<(&mut [Self], &[Self])>, a: Self, b: Self, sum: Accumulate) -> f64;

    /// `x ← x + α·p`, then `p ← z + β·p`, for triples `(x, p, z)` of equal lengths.
    fn step(triples: Vec<Triple<'_, Self>>, alpha: Self, beta: Self);

    /// `Σ xᵀy` over pairs of equal lengths, chunk by chunk in order.
    fn dot(pairs: &[(&[Self], &[Self])]) -> f64;
}

/// Elements of `x`, `p` and `z`.
type Triple<'a, N> = (&'a mut [N], &'a mut [N], &'a [N]);

/// The loops of one type, compiled here and in no other crate.
macro_rules! number {
    ($number:ty) => {
        impl Number for $number {
            #[inline(never)]
            fn combine(
                pairs: Vec<(&mut [Self], &[Self])>,
                a: Self,
                b: Self,
                sum: Accumulate,
            ) -> f64 {
                combine(pairs, a, b, sum)
            }

            #[inline(never)]
            fn step(triples: Vec<Triple<'_, Self>>, alpha: Self, beta: Self) {
                step(triples, alpha, beta);
            }

            #[inline(never)]
            fn dot(pairs: &[(&[Self], &[Self])]) -> f64 {
                dot(pairs)
            }
        }
    };
}

number!(f32);
number!(f64);

/// What one thread does at a time.
const CHUNK: usize = 1 << 14;
/// Below this number of elements, one thread is faster than several.
#[cfg(feature = "flex")]
const FEW: usize = 1 << 17;
/// Elements that are summed in their own precision before their sum is added in f64.
const RUN: usize = 1 << 10;
/// Independent partial sums, so that a processor can add several at once.
const LANES: usize = 16;

/// The sum accumulated during a combination.
#[derive(Clone, Copy)]
pub(in super::super) enum Accumulate {
    /// Nothing: no sum.
    Nothing,
    /// Σ yᵀy
    Itself,
    /// Σ yᵀx
    Other,
}

fn combine<N: Number>(pairs: Vec<(&mut [N], &[N])>, a: N, b: N, sum: Accumulate) -> f64 {
    let count = pairs.iter().map(|(y, _)| y.len()).sum();
    let chunks = pairs.into_iter().flat_map(|(y, x)| y.chunks_mut(CHUNK).zip(x.chunks(CHUNK)));
    total(chunks, count, |(y, x): (&mut [N], &[N])| match sum {
        Accumulate::Nothing => {
            combine_run(y, a, x, b);
            0.0
        }
        Accumulate::Itself => combine_chunk((y, a), (x, b), |y, _| dot_of_run(y, y)),
        Accumulate::Other => combine_chunk((y, a), (x, b), |y, x| dot_of_run(y, x)),
    })
}

fn step<N: Number>(triples: Vec<Triple<'_, N>>, alpha: N, beta: N) {
    let count = triples.iter().map(|(x, _, _)| x.len()).sum();
    let chunks = triples.into_iter().flat_map(|(x, p, z)| {
        let moved = x.chunks_mut(CHUNK).zip(p.chunks_mut(CHUNK));
        moved.zip(z.chunks(CHUNK))
    });
    total(chunks, count, |((x, p), z): ((&mut [N], &mut [N]), &[N])| {
        let count = x.len().min(p.len()).min(z.len());
        let (x, p, z) = (&mut x[..count], &mut p[..count], &z[..count]);
        for i in 0..count {
            x[i] += alpha * p[i];
            p[i] = beta * p[i] + z[i];
        }
        0.0
    });
}

fn dot<N: Number>(pairs: &[(&[N], &[N])]) -> f64 {
    let count = pairs.iter().map(|(x, _)| x.len()).sum();
    let chunks = pairs.iter().flat_map(|(x, y)| x.chunks(CHUNK).zip(y.chunks(CHUNK)));
    total(chunks, count, |(x, y)| dot_of_chunk(x, y))
}

/// Calls `each` with every chunk, on all threads if there are enough elements, and adds the results in order.
fn total<C: Send>(
    chunks: impl Iterator<Item = C>,
    count: usize,
    each: impl Fn(C) -> f64 + Sync,
) -> f64 {
    #[cfg(feature = "flex")]
    if count >= FEW {
        use rayon::prelude::*;
        let chunks: Vec<C> = chunks.collect();
        let parts: Vec<f64> = chunks.into_par_iter().map(&each).collect();
        return parts.into_iter().sum();
    }
    #[cfg(not(feature = "flex"))]
    let _ = count;
    chunks.map(each).sum()
}

/// Combines run by run, and adds up what `sum` finds of each while it is in the innermost cache.
fn combine_chunk<N: Number>(
    (y, a): (&mut [N], N),
    (x, b): (&[N], N),
    sum: impl Fn(&[N], &[N]) -> f64,
) -> f64 {
    let mut total = 0.0;
    for (y, x) in y.chunks_mut(RUN).zip(x.chunks(RUN)) {
        combine_run(y, a, x, b);
        total += sum(y, x);
    }
    total
}

fn combine_run<N: Number>(y: &mut [N], a: N, x: &[N], b: N) {
    let count = y.len().min(x.len());
    let (y, x) = (&mut y[..count], &x[..count]);
    for i in 0..count {
        y[i] = a * y[i] + b * x[i];
    }
}

fn dot_of_chunk<N: Number>(x: &[N], y: &[N]) -> f64 {
    let mut total = 0.0;
    for (x, y) in x.chunks(RUN).zip(y.chunks(RUN)) {
        total += dot_of_run(x, y);
    }
    total
}

fn dot_of_run<N: Number>(x: &[N], y: &[N]) -> f64 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let mut lanes = [N::default(); LANES];
    for i in 0..x.len().min(y.len()) {
        let (x, y) = (&x[i], &y[i]);
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    let mut rest = 0.0;
    for i in 0..x_rest.len().min(y_rest.len()) {
        rest += (x_rest[i] * y_rest[i]).into();
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane.into();
    }
    total + rest
}

#[cfg(test)]
mod tests {
    use super::{Accumulate, CHUNK, RUN, combine, dot, step};

    /// Small integers, whose products and sums are exact.
    fn integers(count: usize, shift: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + shift) % 5) as f32).collect()
    }

    #[test]
    fn every_number_counts_once_at_every_length() {
        for count in [0, 1, 15, 16, 17, RUN, RUN + 3, CHUNK + 1, 9 * CHUNK + 5] {
            let (x, y) = (integers(count, 1), integers(count, 3));
            let (u, v) = (integers(3, 2), integers(3, 4));
            let product = |x: &[f32], y: &[f32]| -> f64 {
                x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum()
            };
            let expected = product(&x, &y) + product(&u, &v);
            assert_eq!(dot(&[(&x, &y), (&u, &v)]), expected, "{count}");
            let sum = |x: &[f32], y: &[f32]| -> Vec<f32> {
                x.iter().zip(y).map(|(x, y)| 2.0 * y - 3.0 * x).collect()
            };
            let expected = (sum(&x, &y), sum(&u, &v));
            for accumulated in [Accumulate::Nothing, Accumulate::Itself, Accumulate::Other] {
                let (mut y, mut v) = (y.clone(), v.clone());
                let pairs = vec![(&mut y[..], &x[..]), (&mut v[..], &u[..])];
                let sum = combine(pairs, 2.0, -3.0, accumulated);
                let expected_sum = match accumulated {
                    Accumulate::Nothing => 0.0,
                    Accumulate::Itself => product(&y, &y) + product(&v, &v),
                    Accumulate::Other => product(&y, &x) + product(&v, &u),
                };
                assert_eq!(sum, expected_sum, "{count}");
                assert_eq!((&y, &v), (&expected.0, &expected.1));
            }
        }
    }

    #[test]
    fn a_step_moves_x_before_it_turns_p() {
        for count in [0, 1, 17, CHUNK + 1, 9 * CHUNK + 5] {
            let [x, p, z] = [1, 3, 2].map(|shift| integers(count, shift));
            let moved: Vec<f32> = x.iter().zip(&p).map(|(x, p)| x + 2.0 * p).collect();
            let turned: Vec<f32> = z.iter().zip(&p).map(|(z, p)| z - 3.0 * p).collect();
            let (mut x, mut p) = (x, p);
            step(vec![(&mut x[..], &mut p[..], &z[..])], 2.0, -3.0);
            assert_eq!((x, p), (moved, turned), "{count}");
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
