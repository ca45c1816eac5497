//! Configuration of diagonal estimators and its ranges.

use burn::config::Config;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Field};

use super::DiagonalEstimator;

/// How a diagonal is estimated; see [`DiagonalEstimator`] for a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DiagonalMethod {
    /// The mean of z ⊙ A z over random signs z.
    Bekas,
    /// Half of the products finds a basis and half is exact on it; each vector estimates the rest for the others.
    XDiag,
}

/// Configuration of [`DiagonalEstimator`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `method` | `XDiag` | | |
/// | `products` | 60 | ≥ 2 for Bekas, 4 for XDiag | products with A at most |
/// | `seed` | 0 | | of the random vectors |
#[derive(Config, Debug, PartialEq)]
pub struct DiagonalEstimatorConfig {
    /// How to estimate.
    #[config(default = "DiagonalMethod::XDiag")]
    pub method: DiagonalMethod,
    /// Products with A at most.
    #[config(default = 60)]
    pub products: usize,
    /// Seed of the random vectors.
    #[config(default = 0)]
    pub seed: u64,
}

impl DiagonalEstimatorConfig {
    /// Checks the ranges and builds the estimator.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<DiagonalEstimator, ConfigError> {
        let field = Field { config: "DiagonalEstimatorConfig", name: "products" };
        let least = match self.method {
            DiagonalMethod::Bekas => 2,
            DiagonalMethod::XDiag => 4,
        };
        field.check(
            self.products as f64,
            self.products >= least,
            "at least 2 for Bekas and 4 for XDiag",
        )?;
        Ok(DiagonalEstimator { config: self.clone() })
    }
}

impl Default for DiagonalEstimatorConfig {
    fn default() -> Self {
        Self::new()
    }
}
