//! Decides from the scalars of an iteration of conjugate gradients whether its step may be taken, and whether to go on.

use burn_backend::AutodiffBackend;

use crate::{
    solver::{
        StopReason,
        monitor::Monitor,
        stopping::{ProgressRule, StagnationWatch},
    },
    space::ParamVector,
};

use super::{ConjugateGradientConfig, OnNegativeCurvature, region::TrustRegion, trial::Scalars};

/// The sign of pᵀA p.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// A is positive definite along p.
    Positive,
    /// A is singular along p, to working precision.
    Vanishing,
    /// A is not positive definite.
    Negative,
}

/// Whether a step may be taken.
pub(super) enum Verdict {
    /// Take it.
    Step,
    /// Take it although A is negative along p.
    StepAlongNegative,
    /// Go by τ along p, to the boundary of the trust region, and stop.
    Boundary { tau: f64, sign: Sign },
    /// Stop before it.
    Stop(StopReason),
}

/// Watches over curvature, trust region, progress and the number of iterations.
pub(super) struct Guard {
    limit: usize,
    replacement: Option<usize>,
    on_negative_curvature: OnNegativeCurvature,
    curvature: CurvatureScale,
    region: Option<TrustRegion>,
    stagnation: StagnationWatch,
    progress: ProgressRule,
}

impl Guard {
    /// At a start with ‖r‖ and φ(x).
    pub(super) fn new<B: AutodiffBackend>(
        config: &ConjugateGradientConfig,
        rhs: &ParamVector<B>,
        (residual, objective): (f64, f64),
    ) -> Self {
        Self {
            limit: config.iteration_limit(rhs.len()),
            replacement: config.residual_replacement,
            on_negative_curvature: config.on_negative_curvature,
            curvature: CurvatureScale::new(rhs.precision().epsilon()),
            region: config.trust_radius.map(TrustRegion::new),
            stagnation: StagnationWatch::new(config.stagnation_window, residual),
            progress: ProgressRule::new(config.relative_progress, objective),
        }
    }

    /// Another descent starts, with xᵀM p.
    pub(super) fn restart(&mut self, overlap: f64) {
        self.curvature.previous = None;
        if let Some(region) = &mut self.region {
            region.restart(overlap);
        }
    }

    /// Whether the step may be taken, given the unit of ‖x‖.
    pub(super) fn judge(&mut self, scalars: &Scalars, unit_of_length: f64) -> Verdict {
        if !scalars.curvature.is_finite() || scalars.rho <= 0.0 {
            return Verdict::Stop(StopReason::Breakdown); // r = 0 in the second case
        }
        if let Some(region) = &mut self.region {
            region.measure_in(unit_of_length);
        }
        let sign = self.curvature.sign(scalars);
        if let Some(tau) = self.to_boundary(scalars, sign) {
            return Verdict::Boundary { tau, sign };
        }
        let carries_on = self.on_negative_curvature == OnNegativeCurvature::Continue;
        match sign {
            Sign::Vanishing => Verdict::Stop(StopReason::Breakdown),
            Sign::Negative if !carries_on => Verdict::Stop(StopReason::NegativeCurvature),
            Sign::Negative => Verdict::StepAlongNegative,
            Sign::Positive => Verdict::Step,
        }
    }

    /// The step length to the boundary of the trust region, if the step would leave it or p has no minimum.
    fn to_boundary(&self, scalars: &Scalars, sign: Sign) -> Option<f64> {
        let region = self.region.as_ref()?;
        let length = self.curvature.length;
        let inside =
            sign == Sign::Positive && region.holds(scalars.rho / scalars.curvature, length);
        (!inside).then(|| region.to_boundary(length))
    }

    /// Records a step; the reason to stop if it was the last.
    pub(super) fn advance<B: AutodiffBackend>(
        &mut self,
        scalars: &Scalars,
        monitor: &Monitor<'_, B>,
    ) -> Option<StopReason> {
        if let Some(region) = &mut self.region {
            let (alpha, beta) = (scalars.rho / scalars.curvature, scalars.next / scalars.rho);
            region.advance(alpha, beta, self.curvature.length);
        }
        let progress_stops = self.progress.stops(monitor.objective);
        let stagnates = self.stagnation.stagnates(monitor.residual);
        if monitor.claims_convergence() {
            Some(StopReason::Converged)
        } else if progress_stops {
            Some(StopReason::RelativeProgress)
        } else if stagnates {
            Some(StopReason::Stagnation)
        } else if monitor.iterations >= self.limit {
            Some(StopReason::IterationLimit)
        } else {
            None
        }
    }

    /// Whether r is due to be recomputed.
    pub(super) fn replaces(&self, iterations: usize) -> bool {
        self.replacement.is_some_and(|period| iterations.is_multiple_of(period))
    }

    /// The largest number of iterations.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The last pᵀA p / pᵀM p.
    pub(super) fn curvature(&self) -> f64 {
        self.curvature.last
    }

    /// Whether A is singular along the last p, to working precision.
    pub(super) fn curvature_vanishes(&self) -> bool {
        self.curvature.vanishes()
    }
}

/// Judges pᵀA p against the curvatures of earlier iterations.
struct CurvatureScale {
    epsilon: f64,
    /// The largest |pᵀA p / pᵀM p| so far.
    largest: f64,
    /// The last pᵀA p / pᵀM p.
    last: f64,
    /// The last pᵀM p.
    length: f64,
    /// pᵀM p and rᵀz of the iteration before.
    previous: Option<(f64, f64)>,
}

impl CurvatureScale {
    fn new(epsilon: f64) -> Self {
        Self { epsilon, largest: 0.0, last: 0.0, length: 0.0, previous: None }
    }

    /// pᵀM p follows from p = z + β p₋ and rᵀp₋ = 0: it is rᵀz + β² p₋ᵀM p₋, which saves a scalar product.
    fn sign(&mut self, scalars: &Scalars) -> Sign {
        let length = match self.previous {
            None => scalars.rho,
            Some((length, rho)) => scalars.rho + (scalars.rho / rho).powi(2) * length,
        };
        self.length = length;
        self.previous = Some((length, scalars.rho));
        self.last = scalars.curvature / length;
        self.largest = self.largest.max(self.last.abs());
        if self.vanishes() {
            Sign::Vanishing
        } else if self.last < 0.0 {
            Sign::Negative
        } else {
            Sign::Positive
        }
    }

    fn vanishes(&self) -> bool {
        self.last.abs() <= self.epsilon * self.largest
    }
}
