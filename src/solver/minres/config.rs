//! Configuration of MINRES and its ranges.

use burn::config::Config;

use crate::config::{ConfigError, Field};

use super::Minres;

/// Configuration of [`Minres`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `relative_tolerance` | 1e-5 | > 0 | converged if ‖r‖ ≤ max(relative · ‖b‖, absolute) |
/// | `absolute_tolerance` | 0 | ≥ 0 | see above |
/// | `singular_below` | 20 ε | 0 to 1 | eigenvalues below this fraction of the largest count as zero; ε: rounding of b's format |
/// | `max_iterations` | min(10 n, 1000) | ≥ 1 | n steps suffice in exact arithmetic, several times as many with rounding |
/// | `stagnation_window` | 100 | ≥ 1 | stop if neither ‖r‖ nor ‖A r‖ has fallen by a hundredth over this many iterations; `None`: never |
/// | `reorthogonalization` | false | | keep the Lanczos vectors orthogonal: for small or badly conditioned systems |
///
/// # Example
/// ```
/// use burn_curvature::MinresConfig;
/// assert!(MinresConfig::new().with_relative_tolerance(1e-8).init().is_ok());
/// assert!(MinresConfig::new().with_relative_tolerance(0.0).init().is_err());
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct MinresConfig {
    /// Converged if ‖r‖ ≤ max(relative · ‖b‖, absolute).
    #[config(default = 1e-5)]
    pub relative_tolerance: f64,
    /// Converged if ‖r‖ ≤ max(relative · ‖b‖, absolute).
    #[config(default = 0.0)]
    pub absolute_tolerance: f64,
    /// Eigenvalues below this fraction of the largest count as zero; `None` is 20 times the rounding of b's format.
    pub singular_below: Option<f64>,
    /// Largest number of iterations; `None` is min(10 n, 1000) for n unknowns.
    pub max_iterations: Option<usize>,
    /// Stop if neither ‖r‖ nor ‖A r‖ has fallen by a hundredth over this many iterations; `None` is never.
    #[config(default = "Some(100)")]
    pub stagnation_window: Option<usize>,
    /// Keep the Lanczos vectors orthogonal, and solve with the whole tridiagonal at the end. Costs the memory of all of
    /// these vectors, and 4 n k operations in iteration k.
    #[config(default = false)]
    pub reorthogonalization: bool,
}

impl MinresConfig {
    /// Checks the ranges and builds the solver.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<Minres, ConfigError> {
        let field = |name| Field { config: "MinresConfig", name };
        field("relative_tolerance").positive(self.relative_tolerance)?;
        field("absolute_tolerance").not_negative(self.absolute_tolerance)?;
        if let Some(cut) = self.singular_below {
            field("singular_below").fraction(cut)?;
        }
        let counts = [
            ("max_iterations", self.max_iterations),
            ("stagnation_window", self.stagnation_window),
        ];
        for (name, count) in counts {
            count.map_or(Ok(()), |count| field(name).at_least_one(count))?;
        }
        Ok(Minres { config: self.clone() })
    }

    pub(super) fn iteration_limit(&self, unknowns: usize) -> usize {
        self.max_iterations.unwrap_or(unknowns.saturating_mul(10).min(1000))
    }

    pub(super) fn cut(&self, epsilon: f64) -> f64 {
        self.singular_below.unwrap_or(20.0 * epsilon)
    }
}

impl Default for MinresConfig {
    fn default() -> Self {
        Self::new()
    }
}
