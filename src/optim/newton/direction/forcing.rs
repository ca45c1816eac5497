//! How exactly each Newton system is solved. Dembo, Eisenstat & Steihaug 1982; Eisenstat & Walker 1996.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, Field},
    optim::newton::Memory,
};

/// The relative tolerance of each solve, ‖∇h + Aδ‖ ≤ tolerance · ‖∇h‖.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Forcing {
    /// The same at every step: convergence is linear with this factor.
    Fixed(f64),
    /// 0.9 (‖∇hₖ‖ / ‖∇hₖ₋₁‖)², not below 0.9 times the square of the last tolerance while that is above 0.1, and between 10⁻¹⁰
    /// and the largest. Convergence is quadratic in the end, and scaling the loss changes nothing. Eisenstat & Walker 1996,
    /// choice 2.
    EisenstatWalker {
        /// The largest tolerance, and the first one.
        largest: f64,
    },
}

const GAMMA: f64 = 0.9;
const SAFEGUARD: f64 = 0.1;
const SMALLEST: f64 = 1e-10;

impl Forcing {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let field = |name| Field { config: "Forcing", name };
        match *self {
            Forcing::Fixed(tolerance) => field("Fixed").fraction(tolerance),
            Forcing::EisenstatWalker { largest } => field("largest").fraction(largest),
        }
    }

    /// The tolerance at a gradient of this norm.
    pub(super) fn next<B: AutodiffBackend>(&self, norm: f64, memory: &Memory<B>) -> f64 {
        match (*self, memory.last_norm, memory.tolerance) {
            (Forcing::Fixed(tolerance), ..) => tolerance,
            (Forcing::EisenstatWalker { largest }, Some(last), Some(before)) if last > 0.0 => {
                let mut tolerance = GAMMA * (norm / last).powi(2);
                let safeguard = GAMMA * before.powi(2);
                if safeguard > SAFEGUARD {
                    tolerance = tolerance.max(safeguard);
                }
                tolerance.clamp(SMALLEST.min(largest), largest)
            }
            (Forcing::EisenstatWalker { largest }, ..) => largest,
        }
    }
}
