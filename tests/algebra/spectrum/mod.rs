//! Spectra: against known eigenvalues, dense sums and closed forms; error bars against what they promise.

mod batches;
mod densities;
mod diagonals;
mod eigenpair_contracts;
mod eigenpairs;
mod traces;

use burn_curvature::{
    Error, LinearOperator, ParamSpace, ParamVector, SelfAdjoint, operator::SymmetricDense,
    spectrum::Estimate,
};

use crate::{TestBackend, dense::Rows, oracle::matrix};

pub(super) fn operator<B: TestBackend>(rows: &Rows, space: &ParamSpace<B>) -> SymmetricDense<B> {
    SymmetricDense::new(&matrix(rows), space).unwrap()
}

/// An operator that promises one space and returns a vector of another.
pub(super) struct Astray<B: TestBackend> {
    pub(super) promised: ParamSpace<B>,
    pub(super) returned: ParamVector<B>,
}

impl<B: TestBackend> LinearOperator<B> for Astray<B> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.promised
    }

    fn apply(&self, _: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.returned.clone())
    }
}

impl<B: TestBackend> SelfAdjoint<B> for Astray<B> {}

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

/// How good the error bars of estimates are.
pub(super) struct Calibration {
    /// The fraction within two standard errors of the truth.
    pub(super) covered: f64,
    /// Root mean square of the standard errors over that of the errors.
    pub(super) size: f64,
}

/// Fails if the mean of the estimates is biased.
pub(super) fn calibration(found: &[Estimate], truth: f64) -> Calibration {
    let count = found.len() as f64;
    let mean = found.iter().map(|e| e.estimate).sum::<f64>() / count;
    let squares: f64 = found.iter().map(|e| (e.estimate - mean).powi(2)).sum();
    let error_of_mean = (squares / (count - 1.0) / count).sqrt();
    assert!(
        (mean - truth).abs() <= 4.0 * error_of_mean,
        "biased: {mean} ± {error_of_mean}, truth {truth}"
    );
    let errors: f64 = found.iter().map(|e| (e.estimate - truth).powi(2)).sum();
    let bars: f64 = found.iter().map(|e| e.standard_error.powi(2)).sum();
    let inside = found.iter().filter(|e| e.deviations_from(truth) <= 2.0);
    Calibration { covered: inside.count() as f64 / count, size: (bars / errors).sqrt() }
}

impl Calibration {
    /// Coverage of at least 85 %, and bars of the right size.
    #[track_caller]
    pub(super) fn expect(&self, what: &str, size: std::ops::RangeInclusive<f64>) {
        assert!(self.covered >= 0.85, "{what}: {}", self.covered);
        assert!(size.contains(&self.size), "{what}: {}", self.size);
    }
}
