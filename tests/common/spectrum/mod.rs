//! Spectra: against known eigenvalues, dense sums and closed forms; error bars against what they promise.

mod eigenpairs;

pub use eigenpairs::*;

use burn_curvature::{ParamVector, SymmetricDense};

use super::{
    TestBackend,
    oracle::{Rows, matrix},
};

pub(super) fn operator<B: TestBackend>(rows: &Rows, like: &ParamVector<B>) -> SymmetricDense<B> {
    SymmetricDense::new(&matrix(rows), like).unwrap()
}

/// n numbers from `low` to `high`, evenly spaced.
pub(super) fn even(low: f64, high: f64, n: usize) -> Vec<f64> {
    let step = |i: usize| i as f64 / (n - 1) as f64;
    (0..n).map(|i| low + (high - low) * step(i)).collect()
}

/// Descending.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted
}
