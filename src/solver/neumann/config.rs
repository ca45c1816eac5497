//! Configuration of the Neumann series and its ranges.

use burn::config::Config;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Field};

use super::Neumann;

/// How the scale s of a Neumann series is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum NeumannScale {
    /// s = 1/λmax, with an estimate of λmax: the components of large eigenvalues converge at once, those of small ones
    /// after about κ terms. Best for a truncated series.
    InverseLargest,
    /// s = 2/(λmin + λmax), with estimates of both: half as many terms when all components must converge, but those of
    /// large eigenvalues no sooner than the others.
    Balanced,
    /// A scale given by the caller. The series converges for 0 < s < 2/λmax.
    Fixed(f64),
}

/// Configuration of [`Neumann`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `scale` | `InverseLargest` | > 0 if given | the step s |
/// | `smallest` | `None` | > 0 | a known lower bound of the eigenvalues, such as the damping of a Gauss-Newton matrix |
/// | `relative_tolerance` | 1e-5 | > 0 | converged if ‖r‖ ≤ max(relative · ‖b‖, absolute) |
/// | `absolute_tolerance` | 0 | ≥ 0 | see above |
/// | `max_iterations` | 1000 | ≥ 1 | terms of the series |
/// | `all_terms` | false | | whether to sum `max_iterations` terms whatever the residual does |
/// | `estimate_products` | 60 | ≥ 1 | products at most for the estimate of λmax |
/// | `seed` | 0 | | of the random start of that estimate |
///
/// # Example
/// ```
/// use burn_curvature::{NeumannConfig, solver::NeumannScale};
/// assert!(NeumannConfig::new().with_scale(NeumannScale::Fixed(0.1)).init().is_ok());
/// assert!(NeumannConfig::new().with_scale(NeumannScale::Fixed(0.0)).init().is_err());
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct NeumannConfig {
    /// How the step s is chosen.
    #[config(default = "NeumannScale::InverseLargest")]
    pub scale: NeumannScale,
    /// A known lower bound of the eigenvalues; makes the error bound of the report a strict one.
    pub smallest: Option<f64>,
    /// Converged if ‖r‖ ≤ max(relative · ‖b‖, absolute).
    #[config(default = 1e-5)]
    pub relative_tolerance: f64,
    /// Converged if ‖r‖ ≤ max(relative · ‖b‖, absolute).
    #[config(default = 0.0)]
    pub absolute_tolerance: f64,
    /// Terms of the series.
    #[config(default = 1000)]
    pub max_iterations: usize,
    /// Whether to sum `max_iterations` terms whatever the residual does, for a truncated inverse: no negative curvature, growth or
    /// stagnation stops the series, and the last iterate is returned, not the best one.
    #[config(default = false)]
    pub all_terms: bool,
    /// Largest number of products for the estimate of λmax.
    #[config(default = 60)]
    pub estimate_products: usize,
    /// Seed of the random start of that estimate.
    #[config(default = 0)]
    pub seed: u64,
}

impl NeumannConfig {
    /// Checks the ranges and builds the solver.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<Neumann, ConfigError> {
        let field = |name| Field { config: "NeumannConfig", name };
        if let NeumannScale::Fixed(scale) = self.scale {
            field("scale").positive(scale)?;
        }
        if let Some(smallest) = self.smallest {
            field("smallest").positive(smallest)?;
        }
        field("relative_tolerance").positive(self.relative_tolerance)?;
        field("absolute_tolerance").not_negative(self.absolute_tolerance)?;
        field("max_iterations").at_least_one(self.max_iterations)?;
        field("estimate_products").at_least_one(self.estimate_products)?;
        Ok(Neumann { config: self.clone() })
    }
}

impl Default for NeumannConfig {
    fn default() -> Self {
        Self::new()
    }
}
