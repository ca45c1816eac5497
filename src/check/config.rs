//! Configuration of the check and its ranges.

use burn::config::Config;
use serde::{Deserialize, Serialize};

use super::CurvatureCheck;
use crate::{
    config::{ConfigError, Field},
    derive::Likelihood,
    kfac::KfacConfig,
};

/// Configuration of [`CurvatureCheck`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `likelihood` | `None` | | for the checks of Fisher matrices and K-FAC, which are left out without it |
/// | `kfac` | [`KfacConfig::new`], but exact factors up to 128 backward passes | | how K-FAC is computed |
/// | `directions` | 2 | ≥ 1 | random vectors v of every comparison |
/// | `timings` | 3 | | rounds of time measurements; 0 leaves them out |
/// | `seed` | 0 | | of the random vectors |
///
/// # Example
/// ```
/// use burn_curvature::{Likelihood, check::CurvatureCheckConfig};
/// let config = CurvatureCheckConfig::new().with_likelihood(Likelihood::Categorical).with_timings(0);
/// assert!(config.init().is_ok());
/// assert!(config.with_directions(0).init().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CurvatureCheckConfig {
    pub(super) likelihood: Option<Likelihood>,
    pub(super) kfac: KfacConfig,
    pub(super) directions: usize,
    pub(super) timings: usize,
    pub(super) seed: u64,
}

impl Config for CurvatureCheckConfig {}

impl Default for CurvatureCheckConfig {
    fn default() -> Self {
        // The noise of drawn targets would hide how good an approximation is.
        let kfac = KfacConfig::for_a_trained_model();
        Self { likelihood: None, kfac, directions: 2, timings: 3, seed: 0 }
    }
}

impl CurvatureCheckConfig {
    /// The defaults of the table above.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the likelihood of which the loss is the negative logarithm.
    #[must_use]
    pub fn with_likelihood(mut self, likelihood: Likelihood) -> Self {
        self.likelihood = Some(likelihood);
        self
    }

    /// Chooses how K-FAC is computed.
    #[must_use]
    pub fn with_kfac(mut self, kfac: KfacConfig) -> Self {
        self.kfac = kfac;
        self
    }

    /// Sets the number of random vectors of every comparison.
    #[must_use]
    pub fn with_directions(mut self, directions: usize) -> Self {
        self.directions = directions;
        self
    }

    /// Sets the rounds of time measurements; 0 leaves them out.
    #[must_use]
    pub fn with_timings(mut self, timings: usize) -> Self {
        self.timings = timings;
        self
    }

    /// Sets the seed of the random vectors.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks the ranges and builds the check.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<CurvatureCheck, ConfigError> {
        let field = Field { config: "CurvatureCheckConfig", name: "directions" };
        field.at_least_one(self.directions)?;
        Ok(CurvatureCheck { config: self.clone() })
    }
}
