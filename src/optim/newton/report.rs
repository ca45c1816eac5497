//! The report of one step.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::solver::SolveReport;

/// What happened to a step. It prints as one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Verdict {
    /// h = ℒ + η/2 ‖θ‖² fell as the rule demands.
    #[error("taken")]
    Taken,
    /// Taken along a direction in which the curvature is negative.
    #[error("taken along negative curvature")]
    NegativeCurvature,
    /// The change of h is within its rounding, and ‖∇h‖ fell.
    #[error("taken: h changes within its rounding, and the gradient fell")]
    WithinRounding,
    /// Taken at a fixed rate, although h rose.
    #[error(
        "taken at the fixed rate, though h rose: lower the rate, or use a rule that refuses such steps"
    )]
    Raised,
    /// h would rise, or fall less than the rule demands.
    #[error("not taken: h would rise, or fall too little; the next step is shorter or more damped")]
    Rejected,
    /// h would not be finite.
    #[error("not taken: h would not be finite")]
    NotFinite,
    /// The direction does not lead downhill.
    #[error(
        "not taken: the direction leads uphill; raise the damping, or use the Gauss-Newton matrix"
    )]
    Uphill,
    /// ∇h has not vanished, but h falls at none of the rates of the line search, or λ or the radius has reached its limit, or
    /// the step is so short that θ does not change, or h only within its rounding. The next step from here would not be
    /// taken either.
    #[error(
        "not taken, and no shorter step would be: h does not fall along its gradient. It may be rounded or noisy (compute in \
         f64), not finite nearby, or another function than the gradient is of (`detach`); to go on from elsewhere, lower λ by \
         `set_damping` or build the optimizer again"
    )]
    Stalled,
    /// ∇h has vanished, to the tolerance or to rounding, and no negative curvature was found.
    #[error("not taken: the point is stationary to the available precision")]
    Stationary,
}

impl Verdict {
    /// Whether the model moved.
    pub fn is_taken(self) -> bool {
        matches!(
            self,
            Verdict::Taken | Verdict::NegativeCurvature | Verdict::WithinRounding | Verdict::Raised
        )
    }
}

/// The report of one step of a [`NewtonOptimizer`](super::NewtonOptimizer). Prints as one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewtonStep {
    /// Step number, starting at 1.
    pub step: usize,
    /// What happened to the step.
    pub verdict: Verdict,
    /// h = ℒ + η/2 ‖θ‖² before the step.
    pub value: f64,
    /// h at the end of the step taken or refused; `None` if it is not finite or was not needed.
    pub value_after: Option<f64>,
    /// ‖∇h‖ before the step.
    pub gradient_norm: f64,
    /// ‖δ‖ of the step taken or refused, the rate included.
    pub length: f64,
    /// The factor α of the direction: the fixed rate, or that of the line search.
    pub rate: f64,
    /// λ in this step.
    pub damping: f64,
    /// The radius of the trust region in this step.
    pub radius: Option<f64>,
    /// The change of h that the quadratic model without λ predicts for the whole direction, if the rule needs it.
    pub predicted: Option<f64>,
    /// ρ: the actual change of h over the predicted one.
    pub reduction_ratio: Option<f64>,
    /// vᵀ(A + ηI)v / vᵀv of a direction of negative curvature, if one was met: without λ.
    pub negative_curvature: Option<f64>,
    /// Products with the curvature matrix over all its batches; for LiSSA, with single batches, those for the scale and for the
    /// residual included.
    pub products: usize,
    /// Values of h computed.
    pub evaluations: usize,
    /// Gradients computed.
    pub gradients: usize,
    /// The report of the linear solve.
    pub solve: Option<SolveReport>,
}

impl NewtonStep {
    /// Whether the model moved.
    pub fn is_taken(&self) -> bool {
        self.verdict.is_taken()
    }
}

impl fmt::Display for NewtonStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: h {:.6e}", self.step, self.value)?;
        if let Some(after) = self.value_after {
            write!(f, " → {after:.6e}")?;
        }
        write!(f, ", |∇h| {:.3e}, |δ| {:.3e}", self.gradient_norm, self.length)?;
        if self.rate != 1.0 {
            write!(f, ", rate {:.3e}", self.rate)?;
        }
        if self.damping > 0.0 {
            write!(f, ", λ {:.3e}", self.damping)?;
        }
        if let Some(radius) = self.radius {
            write!(f, ", radius {radius:.3e}")?;
        }
        if let Some(ratio) = self.reduction_ratio {
            write!(f, ", ρ {ratio:.3}")?;
        }
        if let Some(curvature) = self.negative_curvature {
            write!(f, ", negative curvature {curvature:.3e}")?;
        }
        write!(f, ", {} products, {}", self.products, self.verdict)
    }
}
