//! Configuration of trace estimators and its ranges.

use burn::config::Config;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Field};

use super::TraceEstimator;

/// How a trace is estimated; see [`TraceEstimator`] for a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TraceMethod {
    /// The mean of zᵀA z over random signs z.
    Hutchinson,
    /// A third of the products finds a basis, a third is exact on it, and a third estimates the rest.
    HutchPlusPlus,
    /// Half of the products finds a basis and half is exact on it; each vector estimates the rest for the others.
    XTrace,
}

impl TraceMethod {
    /// The fewest products that give an estimate and a standard error.
    fn least_products(self) -> usize {
        match self {
            TraceMethod::Hutchinson => 2,
            TraceMethod::HutchPlusPlus => 6,
            TraceMethod::XTrace => 4,
        }
    }
}

/// Configuration of [`TraceEstimator`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `method` | `XTrace` | | |
/// | `products` | 60 | ≥ 2, 4 or 6 for Hutchinson, XTrace or Hutch++ | largest number of products with A |
/// | `seed` | 0 | | of the random vectors |
///
/// # Example
/// ```
/// use burn_curvature::{TraceEstimatorConfig, spectrum::TraceMethod};
/// let config = TraceEstimatorConfig::new().with_products(4);
/// assert!(config.clone().with_method(TraceMethod::XTrace).init().is_ok());
/// assert!(config.with_method(TraceMethod::HutchPlusPlus).init().is_err());
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct TraceEstimatorConfig {
    /// How to estimate.
    #[config(default = "TraceMethod::XTrace")]
    pub method: TraceMethod,
    /// Largest number of products with A.
    #[config(default = 60)]
    pub products: usize,
    /// Seed of the random vectors.
    #[config(default = 0)]
    pub seed: u64,
}

impl TraceEstimatorConfig {
    /// Checks the ranges and builds the estimator.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<TraceEstimator, ConfigError> {
        let field = Field { config: "TraceEstimatorConfig", name: "products" };
        let enough = self.products >= self.method.least_products();
        field.check(
            self.products as f64,
            enough,
            "at least 2 for Hutchinson, 4 for XTrace and 6 for Hutch++",
        )?;
        Ok(TraceEstimator { config: self.clone() })
    }
}

impl Default for TraceEstimatorConfig {
    fn default() -> Self {
        Self::new()
    }
}
