//! How far a step goes, and whether it is taken. Independent of directions.

mod armijo;
mod damping;
mod trust_region;

pub use armijo::Armijo;
pub use damping::DampingRule;

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{Memory, Verdict, direction::Proposal, point::Point};
use crate::{
    config::{ConfigError, Field},
    error::Error,
    tensor::Precision,
};

/// How far a step goes, and whether it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// A fixed multiple of the direction, for learning-rate schedulers. The step is taken even if h rises
    /// ([`Verdict::Raised`]), but not if h would not be finite.
    Fixed {
        /// The learning rate. Zero, as at the end of a schedule, means no step.
        rate: f64,
    },
    /// Backtracking until h falls enough.
    Armijo(Armijo),
    /// Steps of length one; λ follows the ratio ρ of actual to predicted decrease.
    LevenbergMarquardt {
        /// How λ follows ρ.
        adaptation: DampingRule,
        /// A line search after λ is adapted; without one, a step is taken only if h falls.
        search: Option<Armijo>,
    },
    /// ‖δ‖ ≤ radius, in the norm of the preconditioner's inverse if there is one. The radius shrinks to a quarter for ρ < ¼,
    /// and doubles for ρ > ¾ if the step ends on the boundary (Nocedal & Wright, algorithm 4.1). The radius is the Euclidean
    /// length of steps that leave a saddle, with a preconditioner too.
    TrustRegion {
        /// The radius at the start.
        radius: f64,
        /// The largest radius.
        largest: f64,
        /// A step is taken if ρ is above this number, from 0 to below ¼.
        accept: f64,
    },
}

/// The decision of a rule on a proposal.
pub(super) struct Outcome {
    /// The factor of δ.
    pub rate: f64,
    /// h at the end of the step; `None` if it is not finite.
    pub value: Option<f64>,
    /// ρ
    pub ratio: Option<f64>,
    pub verdict: Verdict,
}

impl Rule {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let field = |name| Field { config: "Rule", name };
        match *self {
            Rule::Fixed { rate } => field("rate").not_negative(rate),
            Rule::Armijo(armijo) => armijo.validate(),
            Rule::LevenbergMarquardt { adaptation, search } => {
                adaptation.validate()?;
                search.map_or(Ok(()), |search| search.validate())
            }
            Rule::TrustRegion { radius, largest, accept } => {
                field("radius").positive(radius)?;
                let fits = largest >= radius && largest.is_finite();
                field("largest").check(largest, fits, "a finite number of at least the radius")?;
                let fits = (0.0..0.25).contains(&accept);
                field("accept").check(accept, fits, "at least 0 and below 0.25")
            }
        }
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Rule::Fixed { .. } => "Fixed",
            Rule::Armijo(_) => "Armijo",
            Rule::LevenbergMarquardt { .. } => "LevenbergMarquardt",
            Rule::TrustRegion { .. } => "TrustRegion",
        }
    }

    /// The radius at the start, of a trust region.
    pub(super) fn radius(&self) -> Option<f64> {
        match *self {
            Rule::TrustRegion { radius, .. } => Some(radius),
            _ => None,
        }
    }

    /// Whether the predicted change of h is needed.
    pub(super) fn models(&self) -> bool {
        matches!(self, Rule::LevenbergMarquardt { .. } | Rule::TrustRegion { .. })
    }

    /// Decides on a proposal, and adapts λ or the radius.
    pub(super) fn decide<B: AutodiffBackend>(
        &self,
        point: &Point<'_, B>,
        proposal: &Proposal<B>,
        memory: &mut Memory<B>,
    ) -> Result<Outcome, Error> {
        let mut outcome = match *self {
            Rule::Fixed { rate } => fixed(rate, point, proposal),
            Rule::Armijo(armijo) => armijo.search(point, proposal, whole_step(point, proposal)?),
            Rule::LevenbergMarquardt { adaptation, search } => {
                damping::decide((adaptation, search), point, proposal, memory)
            }
            Rule::TrustRegion { largest, accept, .. } => {
                trust_region::decide((largest, accept), point, proposal, memory)
            }
        }?;
        if !outcome.verdict.is_taken() && self.is_exhausted(point, proposal, memory)? {
            outcome.verdict = Verdict::Stalled;
        }
        Ok(outcome)
    }

    /// Whether the rule would refuse the next step after this one too.
    fn is_exhausted<B: AutodiffBackend>(
        &self,
        point: &Point<'_, B>,
        proposal: &Proposal<B>,
        memory: &Memory<B>,
    ) -> Result<bool, Error> {
        let limit = largest(point);
        let at_limit = match self {
            Rule::Fixed { .. } => return Ok(false), // the rate is the caller's
            Rule::Armijo(_) => return Ok(true),
            Rule::LevenbergMarquardt { .. } => memory.damping >= limit,
            Rule::TrustRegion { .. } => memory.radius.is_some_and(|radius| radius <= limit.recip()),
        };
        let too_short = || -> Result<bool, Error> {
            let smallest = point.gradient.precision().epsilon() * point.parameters().norm()?;
            Ok(proposal.delta.norm()? <= smallest)
        };
        Ok(at_limit || too_short()?)
    }
}

/// The largest λ, and the reciprocal of the smallest radius: where θ is zero no step is too short to change it. That of f64
/// is the limit in Ceres; in f32 products with it must not overflow.
fn largest<B: AutodiffBackend>(point: &Point<'_, B>) -> f64 {
    match point.gradient.precision() {
        Precision::F32 => 1e20,
        Precision::F64 => 1e32,
    }
}

/// rate·δ, unless h would not be finite.
fn fixed<B: AutodiffBackend>(
    rate: f64,
    point: &Point<'_, B>,
    proposal: &Proposal<B>,
) -> Result<Outcome, Error> {
    let value = point.value_at(rate, &proposal.delta)?;
    let verdict = match value {
        None => Verdict::NotFinite,
        Some(value) if value > point.value + point.rounding() => Verdict::Raised,
        Some(_) => taken(proposal),
    };
    Ok(Outcome { rate, value, ratio: None, verdict })
}

/// h at θ + δ, which the direction may have computed.
fn whole_step<B: AutodiffBackend>(
    point: &Point<'_, B>,
    proposal: &Proposal<B>,
) -> Result<Option<f64>, Error> {
    match proposal.value {
        Some(value) => Ok(Some(value)),
        None => point.value_at(1.0, &proposal.delta),
    }
}

/// ρ, and −∞ for an h that is not finite.
fn ratio(before: f64, after: Option<f64>, predicted: f64) -> f64 {
    match after {
        Some(after) if predicted < 0.0 => (after - before) / predicted,
        _ => f64::NEG_INFINITY,
    }
}

/// The verdict on a step that was taken.
fn taken<B: AutodiffBackend>(proposal: &Proposal<B>) -> Verdict {
    if proposal.negative.is_some() { Verdict::NegativeCurvature } else { Verdict::Taken }
}

/// The verdict on a step that was not.
fn refused(value: Option<f64>) -> Verdict {
    if value.is_some() { Verdict::Rejected } else { Verdict::NotFinite }
}
