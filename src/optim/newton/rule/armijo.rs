//! Backtracking. Armijo 1966; Nocedal & Wright, algorithm 3.1; along negative curvature Royer, O'Neill & Wright 2020.

use burn::config::Config;
use burn_backend::AutodiffBackend;

use super::{Outcome, refused, taken};
use crate::{
    config::{ConfigError, Field},
    error::Error,
    optim::newton::{direction::Proposal, point::Point},
};

/// Backtracking: the first of the rates 1, s, s², … with h(θ + αδ) ≤ h + c(α∇hᵀδ + ½ α² min(κ, 0) ‖δ‖²).
///
/// κ is the curvature along δ where it is negative. The length of such a δ is arbitrary, so the rate is doubled as long
/// as h falls further.
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `decrease` | 1e-4 | 0 to 1 | c |
/// | `shrink` | 0.5 | 0 to 1 | s |
/// | `trials` | 40 | ≥ 1 | rates tried |
#[derive(Config, Debug, Copy, PartialEq)]
pub struct Armijo {
    /// c, the share of the decrease to first order that h must fall by.
    #[config(default = 1e-4)]
    pub decrease: f64,
    /// s, the ratio of one rate to the one before.
    #[config(default = 0.5)]
    pub shrink: f64,
    /// Rates tried.
    #[config(default = 40)]
    pub trials: usize,
}

impl Armijo {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let field = |name| Field { config: "Armijo", name };
        field("decrease").fraction(self.decrease)?;
        field("shrink").fraction(self.shrink)?;
        field("trials").at_least_one(self.trials)
    }

    /// The rate for a proposal, from h at rate 1.
    pub(super) fn search<B: AutodiffBackend>(
        &self,
        point: &Point<'_, B>,
        proposal: &Proposal<B>,
        whole: Option<f64>,
    ) -> Result<Outcome, Error> {
        let bend = match proposal.negative {
            Some(curvature) => 0.5 * curvature.min(0.0) * proposal.delta.norm()?.powi(2),
            None => 0.0,
        };
        let falls = |rate: f64, value: Option<f64>| {
            let demanded = self.decrease * rate * (proposal.slope + rate * bend);
            value.is_some_and(|value| value < point.value && value <= point.value + demanded)
        };
        let (mut rate, mut value) = (1.0, whole);
        let mut trials = 1;
        while !falls(rate, value) && trials < self.trials {
            rate *= self.shrink;
            value = point.value_at(rate, &proposal.delta)?;
            trials += 1;
        }
        if !falls(rate, value) {
            return Ok(Outcome { rate, value, ratio: None, verdict: refused(value) });
        }
        while bend < 0.0 && rate >= 1.0 && trials < self.trials {
            let further = point.value_at(2.0 * rate, &proposal.delta)?;
            trials += 1;
            if !(falls(2.0 * rate, further) && further < value) {
                break;
            }
            (rate, value) = (2.0 * rate, further);
        }
        Ok(Outcome { rate, value, ratio: None, verdict: taken(proposal) })
    }
}

impl Default for Armijo {
    fn default() -> Self {
        Self::new()
    }
}
