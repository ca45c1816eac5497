//! Decides after the read-back of an iteration whether to take its step, and whether to go on.

use burn_backend::AutodiffBackend;

use super::super::{OnNegativeCurvature, curvature::Curvature, seen::Seen};
use super::{End, Run};
use crate::{
    error::Error,
    solver::{Iteration, NegativeCurvature, SolverError, StopReason},
    space::ParamVector,
};

impl<B: AutodiffBackend> Run<'_, '_, B> {
    /// Decides whether the numbers of an iteration can be worked with.
    pub(super) fn judge(
        &mut self,
        seen: &Seen,
        p: &ParamVector<B>,
        z: Option<&ParamVector<B>>,
    ) -> Result<Option<End<B>>, Error> {
        if !seen.curvature.is_finite() {
            self.system.multiply(p)?.expect_finite("the product A p")?;
            return Ok(Some(End::Stop(StopReason::Breakdown)));
        }
        if let Some(z) = z
            && !seen.next.is_finite()
        {
            z.expect_finite("the product with the preconditioner")?;
        }
        if seen.rho <= 0.0 {
            return match self.preconditioner {
                Some(_) => Err(SolverError::Preconditioner { found: seen.rho }.into()),
                None => Ok(Some(End::Stop(StopReason::Breakdown))), // r = 0
            };
        }
        Ok(None)
    }

    /// Decides from the curvature whether the step may be taken.
    pub(super) fn refuse(
        &mut self,
        seen: &Seen,
        curvature: Curvature,
        p: &ParamVector<B>,
    ) -> Result<Option<End<B>>, Error> {
        match curvature {
            Curvature::Vanishing => return Ok(Some(End::Stop(StopReason::Breakdown))),
            Curvature::Negative => {
                if let Some(end) = self.meet_negative(seen.curvature, p)? {
                    return Ok(Some(end));
                }
            }
            Curvature::Positive => {}
        }
        let finite = seen.next.is_finite() && seen.square.is_finite();
        Ok((!finite).then_some(End::Stop(StopReason::Breakdown)))
    }

    /// Takes note of the last step, by τ along p to the boundary of the trust region.
    pub(super) fn stop_at_boundary(
        &mut self,
        seen: &Seen,
        curvature: Curvature,
        tau: f64,
        p: ParamVector<B>,
    ) -> Result<End<B>, Error> {
        self.iterations += 1;
        self.verified.current = false;
        self.objective -= tau * (seen.rho - 0.5 * tau * seen.curvature);
        match curvature {
            Curvature::Positive => self.ritz.push(seen.rho, seen.curvature),
            Curvature::Vanishing => {}
            Curvature::Negative => {
                let length = p.norm()?;
                self.negative = Some(NegativeCurvature {
                    curvature: seen.curvature / length / length,
                    direction: p,
                });
            }
        }
        Ok(End::Stop(StopReason::TrustRegion))
    }

    /// Stops, or keeps the first direction of negative curvature and goes on.
    pub(super) fn meet_negative(
        &mut self,
        curvature: f64,
        p: &ParamVector<B>,
    ) -> Result<Option<End<B>>, Error> {
        let carried = self.config.on_negative_curvature == OnNegativeCurvature::Continue;
        if carried && self.negative.is_some() {
            return Ok(None);
        }
        let length = p.norm()?;
        let found =
            NegativeCurvature { direction: p.clone(), curvature: curvature / length / length };
        if carried {
            self.negative = Some(found);
            return Ok(None);
        }
        Ok(Some(End::NegativeCurvature(found)))
    }

    /// Takes note of a step, and decides whether it was the last.
    pub(super) fn advance(&mut self, seen: &Seen) -> Option<End<B>> {
        self.iterations += 1;
        self.verified.current = false;
        self.residual = seen.square.sqrt();
        self.objective -= 0.5 * seen.rho / seen.curvature * seen.rho;
        self.ritz.push(seen.rho, seen.curvature);
        if let Some(region) = &mut self.region {
            let (alpha, beta) = (seen.rho / seen.curvature, seen.next / seen.rho);
            region.advance(alpha, beta, self.curvature.length());
        }
        let progress_stops = self.progress.stops(self.objective);
        let stagnates = self.stagnation.stagnates(self.residual);
        if self.residual <= self.threshold {
            Some(End::Claimed)
        } else if progress_stops {
            Some(End::Stop(StopReason::RelativeProgress))
        } else if stagnates {
            Some(End::Stop(StopReason::Stagnation))
        } else if self.iterations >= self.limit {
            Some(End::Stop(StopReason::IterationLimit))
        } else {
            None
        }
    }

    /// Shows the iterate to the observer.
    pub(super) fn observe(&mut self, x: &ParamVector<B>) {
        if let Some(observer) = &mut self.observer {
            observer(&Iteration {
                index: self.iterations,
                residual: self.residual,
                relative_residual: self.residual / self.rhs_norm,
                curvature: self.curvature.last,
                objective: self.objective,
                x,
            });
        }
    }

    pub(super) fn replacement_is_due(&self) -> bool {
        self.config
            .residual_replacement
            .is_some_and(|period| self.iterations.is_multiple_of(period))
    }
}
