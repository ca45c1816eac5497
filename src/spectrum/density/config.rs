//! Configuration of density estimators and its ranges.

use burn::config::Config;

use crate::config::{ConfigError, Field};

use super::DensityEstimator;

/// Configuration of [`DensityEstimator`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `probes` | 10 | ≥ 2 | random vectors; the error bar narrows as 1/√probes |
/// | `steps` | 60 | ≥ 1 | Lanczos steps per probe; more steps resolve finer detail |
/// | `together` | as many as fit 256 MiB | ≥ 1 | probes that run together, for operators that gain from it |
/// | `seed` | 0 | | of the probes |
#[derive(Config, Debug, PartialEq)]
pub struct DensityEstimatorConfig {
    /// Number of random vectors.
    #[config(default = 10)]
    pub probes: usize,
    /// Steps of Lanczos' process for each probe: the number of nodes of its quadrature rule.
    #[config(default = 60)]
    pub steps: usize,
    /// Probes that run together; `None` is as many as keep their vectors within 256 MiB.
    pub together: Option<usize>,
    /// Seed of the probes.
    #[config(default = 0)]
    pub seed: u64,
}

impl DensityEstimatorConfig {
    /// Memory for the vectors of several probes, in bytes.
    const MEMORY: usize = 256 << 20;

    /// Checks the ranges and builds the estimator.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<DensityEstimator, ConfigError> {
        let field = |name| Field { config: "DensityEstimatorConfig", name };
        field("probes").check(self.probes as f64, self.probes >= 2, "at least 2")?;
        field("steps").at_least_one(self.steps)?;
        if let Some(together) = self.together {
            field("together").at_least_one(together)?;
        }
        Ok(DensityEstimator { config: self.clone() })
    }

    /// Probes at once, for vectors of the given number of bytes.
    pub(super) fn group(&self, vector: usize) -> usize {
        let probe = vector.saturating_mul(self.steps).max(1);
        self.together.unwrap_or((Self::MEMORY / probe).max(1))
    }
}

impl Default for DensityEstimatorConfig {
    fn default() -> Self {
        Self::new()
    }
}
