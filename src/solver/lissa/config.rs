//! Configuration of LiSSA and its ranges.

use burn::config::Config;

use crate::config::{ConfigError, Field};

use super::Lissa;

/// Configuration of [`Lissa`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `scale` | `None` | > 0 | larger than the largest eigenvalue of every term; `None`: estimated from some terms |
/// | `depth` | 1000 | ≥ 1 | steps of each repeat |
/// | `repeats` | 4 | ≥ 1 | independent repeats to average; two or more for a standard error |
/// | `smallest` | `None` | > 0 | a lower bound of the eigenvalues of A; `None`: the damping of the operator |
/// | `seed` | 0 | | of the choice of terms |
///
/// # Example
/// ```
/// use burn_curvature::solver::LissaConfig;
/// let config = LissaConfig::new().with_scale(Some(25.0)).with_depth(5000).with_repeats(10);
/// assert!(config.clone().init().is_ok());
/// assert!(config.with_scale(Some(-1.0)).init().is_err());
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct LissaConfig {
    /// Larger than the largest eigenvalue of every term; `None` is 1.2 times the largest of up to eight random terms.
    pub scale: Option<f64>,
    /// Steps of each repeat.
    #[config(default = 1000)]
    pub depth: usize,
    /// Independent repeats to average; two or more for a standard error.
    #[config(default = 4)]
    pub repeats: usize,
    /// A lower bound of the eigenvalues of A; `None` is the damping that the operator knows of.
    pub smallest: Option<f64>,
    /// Seed of the choice of terms.
    #[config(default = 0)]
    pub seed: u64,
}

impl LissaConfig {
    /// Checks the ranges and builds the solver.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<Lissa, ConfigError> {
        let field = |name| Field { config: "LissaConfig", name };
        if let Some(scale) = self.scale {
            field("scale").positive(scale)?;
        }
        field("depth").at_least_one(self.depth)?;
        field("repeats").at_least_one(self.repeats)?;
        if let Some(smallest) = self.smallest {
            field("smallest").positive(smallest)?;
        }
        Ok(Lissa { config: self.clone() })
    }
}

impl Default for LissaConfig {
    fn default() -> Self {
        Self::new()
    }
}
