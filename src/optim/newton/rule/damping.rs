//! λ by the ratio of actual to predicted decrease. Levenberg 1944; Marquardt 1963; Martens 2010, section 4.1; Nielsen 1999,
//! in Madsen, Nielsen & Tingleff 2004, Methods for non-linear least squares problems, section 3.2.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{Armijo, Outcome, largest, ratio, refused, taken, whole_step};
use crate::{
    config::{ConfigError, Field},
    error::Error,
    optim::newton::{Memory, direction::Proposal, point::Point},
};

/// How λ follows ρ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum DampingRule {
    /// λ ← raise·λ for ρ < ¼, and λ ← λ/raise for ρ > ¾. Martens has raise = 3/2.
    Ratio {
        /// Above 1.
        raise: f64,
    },
    /// λ ← λ·max(⅓, 1 − (2ρ − 1)³) if h falls; else λ ← νλ, with ν = 2 at first and doubled each time. Nielsen 1999.
    Nielsen,
}

/// Ratios below which λ rises and above which it falls.
const BAD: f64 = 0.25;
const GOOD: f64 = 0.75;

impl DampingRule {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match *self {
            DampingRule::Ratio { raise } => {
                let field = Field { config: "DampingRule", name: "raise" };
                field.check(raise, raise > 1.0 && raise.is_finite(), "a finite number above 1")
            }
            DampingRule::Nielsen => Ok(()),
        }
    }

    /// λ for the next step, within its limits.
    fn adapt<B: AutodiffBackend>(&self, ratio: f64, memory: &mut Memory<B>, largest: f64) {
        match *self {
            DampingRule::Ratio { raise } if ratio < BAD => memory.damping *= raise,
            DampingRule::Ratio { raise } if ratio > GOOD => memory.damping /= raise,
            DampingRule::Ratio { .. } => {}
            DampingRule::Nielsen if ratio > 0.0 => {
                memory.damping *= (1.0 - (2.0 * ratio - 1.0).powi(3)).max(1.0 / 3.0);
                memory.growth = 2.0;
            }
            DampingRule::Nielsen => {
                memory.damping *= memory.growth;
                memory.growth = (2.0 * memory.growth).min(largest);
            }
        }
        memory.damping = memory.damping.clamp(largest.recip(), largest);
    }
}

/// δ itself, or shortened by a line search; λ for the next step.
pub(super) fn decide<B: AutodiffBackend>(
    (adaptation, search): (DampingRule, Option<Armijo>),
    point: &Point<'_, B>,
    proposal: &Proposal<B>,
    memory: &mut Memory<B>,
) -> Result<Outcome, Error> {
    let value = whole_step(point, proposal)?;
    if proposal.negative.is_some() {
        // No quadratic model has a minimum here: λ is for the next step to judge, unless nothing falls.
        let outcome = search.unwrap_or_default().search(point, proposal, value)?;
        if !outcome.verdict.is_taken() {
            adaptation.adapt(f64::NEG_INFINITY, memory, largest(point));
        }
        return Ok(outcome);
    }
    let ratio = ratio(point.value, value, proposal.predicted.unwrap_or(0.0));
    adaptation.adapt(ratio, memory, largest(point));
    let known = ratio.is_finite().then_some(ratio);
    if let Some(search) = search {
        return Ok(Outcome { ratio: known, ..search.search(point, proposal, value)? });
    }
    let verdict = if ratio > 0.0 { taken(proposal) } else { refused(value) };
    Ok(Outcome { rate: 1.0, value, ratio: known, verdict })
}
