//! Matrices in output space: the M of products JᵀMJ.

use super::likelihood::Family;
use crate::graph::ValueType;

/// A matrix M in output space, sample by sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Metric {
    /// E[∇_z log p ∇_z log pᵀ] in closed form.
    Exact(Family),
    /// Σₛ dₛ dₛᵀ, the dₛ of targets drawn by noise that follows the batch.
    Drawn {
        /// The distribution drawn from.
        family: Family,
        /// Targets per sample.
        draws: usize,
    },
    /// d dᵀ with d = ∂ℓ/∂z, the targets being those of the data.
    Empirical,
}

impl Metric {
    /// Type of the noise for outputs of a type, if targets are drawn.
    pub fn noise_type(self, outputs: &ValueType) -> Option<ValueType> {
        match self {
            Metric::Drawn { family, draws } => Some(family.noise_type(draws, outputs)),
            Metric::Exact(_) | Metric::Empirical => None,
        }
    }
}
