//! The end of a solve: the true residual, a last improvement, the report.

use burn_backend::AutodiffBackend;

use super::{Next, Run, Verified};
use crate::{
    error::Error,
    solver::{Method, Solution, SolveReport, Spectrum, StopReason},
    space::ParamVector,
};

impl<'a, 'o, B: AutodiffBackend> Run<'a, 'o, B> {
    /// Computes b − A x and its norm; with all residuals at hand, also improves x if it is not good enough.
    pub(super) fn verify(
        &mut self,
        x: ParamVector<B>,
    ) -> Result<(ParamVector<B>, ParamVector<B>), Error> {
        let (r, residual) = self.check(&x)?;
        let steps = self.ritz.steps();
        let Some(basis) = self.basis.as_ref().filter(|_| steps > 0 && residual > self.threshold)
        else {
            return Ok((x, r));
        };
        let Some(correction) = basis.correction(&r, steps, |y| self.ritz.solve(y))? else {
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
    fn check(&mut self, x: &ParamVector<B>) -> Result<(ParamVector<B>, f64), Error> {
        let (r, residual) = self.system.checked_residual(x)?;
        self.verified = Verified { residual, current: true };
        Ok((r, residual))
    }

    /// The solution with a report on it. The true residual has the last word.
    pub(super) fn finish(
        mut self,
        mut x: ParamVector<B>,
        reason: StopReason,
    ) -> Result<Next<'a, 'o, B>, Error> {
        if reason == StopReason::TrustRegion {
            (_, self.residual) = self.check(&x)?; // x stays on the boundary
            self.observe(&x);
        } else if !self.verified.current {
            (x, _) = self.verify(x)?;
        }
        let true_residual = self.verified.residual;
        let whole = !matches!(reason, StopReason::NegativeCurvature | StopReason::TrustRegion);
        let reached = whole && true_residual <= self.threshold;
        let rhs = self.system.rhs();
        let report = SolveReport {
            method: Method::ConjugateGradient,
            stop: if reached { StopReason::Converged } else { reason },
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
            spectrum: Spectrum::of(&self.ritz.extremes(), false),
            detail: None,
        };
        Ok(Next::Done(Box::new(Solution { x, report, negative_curvature: self.negative })))
    }
}
