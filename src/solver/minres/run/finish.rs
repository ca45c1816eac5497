//! The end of a solve: the true residual, a last improvement, the report.

use burn_backend::AutodiffBackend;

use super::{Run, Verified};
use crate::{
    Error,
    params::ParamVector,
    solver::{Method, Solution, SolveReport, StopReason},
};

impl<B: AutodiffBackend> Run<'_, '_, B> {
    /// Computes b − A x and its norm; with all Lanczos vectors at hand, also improves x if it is not good enough.
    pub(super) fn verify(
        &mut self,
        x: ParamVector<B>,
    ) -> Result<(ParamVector<B>, ParamVector<B>), Error> {
        let (r, residual) = self.check(&x)?;
        let Some(basis) = self
            .basis
            .as_ref()
            .filter(|_| self.estimate.steps() > 0 && residual > self.threshold)
        else {
            return Ok((x, r));
        };
        let (tridiagonal, below) = (&self.estimate.tridiagonal, self.estimate.below);
        let cut = tridiagonal.diagonal.len() as f64 * x.precision().epsilon();
        let solve = |overlaps: &[f64]| tridiagonal.least_squares(overlaps, below, cut);
        let Some(correction) = basis.correction(&r, basis.len(), solve)? else {
            return Ok((x, r));
        };
        let better = x.clone().add(&correction)?;
        let (better_r, better_residual) = self.system.checked_residual(&better)?;
        if better_residual < residual {
            self.verified.residual = better_residual;
            return Ok((better, better_r));
        }
        Ok((x, r))
    }

    /// b − A x and its norm, which is noted.
    pub(super) fn check(&mut self, x: &ParamVector<B>) -> Result<(ParamVector<B>, f64), Error> {
        let (r, residual) = self.system.checked_residual(x)?;
        self.verified = Verified {
            residual,
            current: true,
        };
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
            stop: if true_residual <= self.threshold {
                StopReason::Converged
            } else {
                reason
            },
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
        Ok(Solution {
            x,
            report,
            negative_curvature: self.negative,
        })
    }
}
