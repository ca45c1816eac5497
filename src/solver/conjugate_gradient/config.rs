//! Configuration of conjugate gradients and its ranges.

use burn::config::Config;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Field};

use super::ConjugateGradient;

/// What to do when A turns out not to be positive definite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnNegativeCurvature {
    /// Stop before the step, and return the direction.
    Stop,
    /// Carry the recurrences through. They solve an indefinite system too as long as pᵀA p is not close to zero, but
    /// lose accuracy without `reorthogonalization`, and their residuals do not fall steadily.
    Continue,
}

/// Configuration of [`ConjugateGradient`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `relative_tolerance` | 1e-5 | > 0 | converged if ‖r‖ ≤ max(relative · ‖b‖, absolute) |
/// | `absolute_tolerance` | 0 | ≥ 0 | see above |
/// | `max_iterations` | min(10 n, 1000) | ≥ 1 | n steps suffice in exact arithmetic, several times as many with rounding |
/// | `residual_replacement` | 50 | ≥ 1 | recompute r = b − A x every this many iterations; `None`, or with `reorthogonalization`: never |
/// | `stagnation_window` | 100 | ≥ 1 | stop if ‖r‖ has not fallen by a hundredth over this many iterations; `None`: never |
/// | `reorthogonalization` | false | | keep r orthogonal to all earlier residuals: for small or indefinite systems |
/// | `on_negative_curvature` | `Stop` | | |
/// | `trust_radius` | `None` | > 0 | stay within ‖x‖ ≤ radius, after Steihaug and Toint |
/// | `relative_progress` | `None` | 0 to 1 | Martens' rule: stop when ½ xᵀA x − bᵀx falls by less than this per iteration |
///
/// # Example
/// ```
/// use burn_curvature::ConjugateGradientConfig;
/// assert!(ConjugateGradientConfig::new().with_relative_tolerance(1e-8).init().is_ok());
/// assert!(ConjugateGradientConfig::new().with_relative_tolerance(0.0).init().is_err());
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct ConjugateGradientConfig {
    /// Converged if ‖r‖ ≤ max(relative · ‖b‖, absolute).
    #[config(default = 1e-5)]
    pub relative_tolerance: f64,
    /// Converged if ‖r‖ ≤ max(relative · ‖b‖, absolute).
    #[config(default = 0.0)]
    pub absolute_tolerance: f64,
    /// Largest number of iterations; `None` is min(10 n, 1000) for n unknowns.
    pub max_iterations: Option<usize>,
    /// Recompute r = b − A x every this many iterations; `None` is never. With `reorthogonalization` it is recomputed after n
    /// iterations only, and the solve then restarts, since the new r is not orthogonal to those that are kept.
    #[config(default = "Some(50)")]
    pub residual_replacement: Option<usize>,
    /// Stop if ‖r‖ has not fallen by a hundredth over this many iterations; `None` is never.
    #[config(default = "Some(100)")]
    pub stagnation_window: Option<usize>,
    /// Keep r orthogonal to all earlier residuals. Costs the memory of all residuals, and 4 n k operations in iteration k.
    #[config(default = false)]
    pub reorthogonalization: bool,
    /// What to do when A turns out not to be positive definite.
    #[config(default = "OnNegativeCurvature::Stop")]
    pub on_negative_curvature: OnNegativeCurvature,
    /// Stay within ‖x‖ ≤ radius, in the norm of M with a preconditioner: if the path of the iterates leaves the region
    /// or meets negative curvature, x is the path's point on the boundary. The initial guess must be 0.
    pub trust_radius: Option<f64>,
    /// Martens' rule for truncated solves, 5e-4 in his paper: stop at iteration i when ½ xᵀA x − bᵀx has fallen by less
    /// than k times this fraction over the last k = max(10, i/10) iterations.
    pub relative_progress: Option<f64>,
}

impl ConjugateGradientConfig {
    /// Checks the ranges and builds the solver.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<ConjugateGradient, ConfigError> {
        let field = |name| Field { config: "ConjugateGradientConfig", name };
        field("relative_tolerance").positive(self.relative_tolerance)?;
        field("absolute_tolerance").not_negative(self.absolute_tolerance)?;
        let counts = [
            ("max_iterations", self.max_iterations),
            ("residual_replacement", self.residual_replacement),
            ("stagnation_window", self.stagnation_window),
        ];
        for (name, count) in counts {
            count.map_or(Ok(()), |count| field(name).at_least_one(count))?;
        }
        if let Some(radius) = self.trust_radius {
            field("trust_radius").positive(radius)?;
            if self.on_negative_curvature == OnNegativeCurvature::Continue {
                return Err(ConfigError {
                    config: "ConjugateGradientConfig",
                    field: "trust_radius",
                    found: radius,
                    expected: "`None` with `OnNegativeCurvature::Continue`, which would step out of the region",
                });
            }
        }
        if let Some(progress) = self.relative_progress {
            field("relative_progress").fraction(progress)?;
        }
        Ok(ConjugateGradient { config: self.clone() })
    }

    pub(super) fn iteration_limit(&self, unknowns: usize) -> usize {
        self.max_iterations.unwrap_or(unknowns.saturating_mul(10).min(1000))
    }
}

impl Default for ConjugateGradientConfig {
    fn default() -> Self {
        Self::new()
    }
}
