//! The end of a solve: the true residual, a last improvement, the report.

use burn_backend::AutodiffBackend;

use super::{Run, Verified};
use crate::{
    error::Error,
    solver::{Method, Solution, SolveReport, StopReason},
    space::ParamVector,
};

impl<B: AutodiffBackend> Run<'_, '_, B> {
    /// Computes b − A x and its norm; with all Lanczos vectors at hand, also improves x if it is not good enough.
    pub(super) fn verify(
        &mut self,
        mut x: ParamVector<B>,
    ) -> Result<(ParamVector<B>, ParamVector<B>), Error> {
        let (mut r, _) = self.check(&x)?;
        let steps = self.estimate.steps() as f64;
        // What is singular to the vectors' rounding is left out first; then only what is so to the host's.
        for epsilon in [x.precision().epsilon(), f64::EPSILON] {
            let before = self.verified.residual;
            if before <= self.threshold {
                break;
            }
            let Some(correction) = self.correction(&r, steps * epsilon)? else {
                break;
            };
            let better = x.clone().add(&correction)?;
            let (better_r, residual) = self.system.checked_residual(&better)?;
            if residual < before {
                (x, r) = (better, better_r);
                self.verified.residual = residual;
            }
        }
        Ok((x, r))
    }

    /// The correction of x in the Krylov space, if all Lanczos vectors are at hand.
    fn correction(&self, r: &ParamVector<B>, cut: f64) -> Result<Option<ParamVector<B>>, Error> {
        let Some(basis) = self.basis.as_ref().filter(|_| self.estimate.steps() > 0) else {
            return Ok(None);
        };
        let (tridiagonal, below) = (&self.estimate.tridiagonal, self.estimate.below);
        basis.correction(r, basis.len(), |overlaps| tridiagonal.least_squares(overlaps, below, cut))
    }

    /// b − A x and its norm, which is noted.
    pub(super) fn check(&mut self, x: &ParamVector<B>) -> Result<(ParamVector<B>, f64), Error> {
        let (r, residual) = self.system.checked_residual(x)?;
        self.verified = Verified { residual, current: true };
        Ok((r, residual))
    }

    /// The solution with a report on it. The true residual has the last word.
    pub(super) fn finish(
        mut self,
        mut x: ParamVector<B>,
        reason: StopReason,
    ) -> Result<Solution<B>, Error> {
        if !self.verified.current {
            (x, _) = self.verify(x)?;
        }
        let true_residual = self.verified.residual;
        let rhs = self.system.rhs();
        let report = SolveReport {
            method: Method::Minres,
            stop: if true_residual <= self.threshold { StopReason::Converged } else { reason },
            precision: rhs.precision(),
            unknowns: rhs.len(),
            iterations: self.iterations,
            applications: self.system.applications(),
            rhs_norm: self.rhs_norm,
            threshold: Some(self.threshold),
            recursive_residual: Some(self.residual),
            true_residual,
            relative_residual: if self.rhs_norm > 0.0 {
                true_residual / self.rhs_norm
            } else {
                0.0
            },
            spectrum: self.estimate.spectrum(),
            detail: None,
        };
        Ok(Solution { x, report, negative_curvature: self.negative })
    }
}
