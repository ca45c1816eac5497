//! Configuration of the Nyström approximation and its ranges.

use burn::config::Config;

use crate::config::{ConfigError, Field};

use super::Nystrom;

/// Configuration of [`Nystrom`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `rank` | | ≥ 1 | random vectors of the sketch; no more than n are drawn |
/// | `damping` | | > 0 | the λ that is part of the operator |
/// | `relative_tolerance` | 1e-5 | > 0 | converged if the true residual happens to be ≤ relative · ‖b‖ |
/// | `seed` | 0 | | of the random vectors |
///
/// # Example
/// ```
/// use burn_curvature::solver::NystromConfig;
/// assert!(NystromConfig::new(50, 1e-3).with_seed(7).init().is_ok());
/// assert!(NystromConfig::new(50, 0.0).init().is_err());
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct NystromConfig {
    /// Random vectors of the sketch; no more than n are drawn.
    pub rank: usize,
    /// The λ that is part of the operator.
    pub damping: f64,
    /// Converged if the true residual happens to be ≤ relative · ‖b‖.
    #[config(default = 1e-5)]
    pub relative_tolerance: f64,
    /// Seed of the random vectors.
    #[config(default = 0)]
    pub seed: u64,
}

impl NystromConfig {
    /// Checks the ranges and builds the solver.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<Nystrom, ConfigError> {
        let field = |name| Field { config: "NystromConfig", name };
        field("rank").at_least_one(self.rank)?;
        field("damping").positive(self.damping)?;
        field("relative_tolerance").positive(self.relative_tolerance)?;
        Ok(Nystrom { config: self.clone() })
    }
}
