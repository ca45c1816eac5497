//! Configuration of Lanczos' process and its ranges.

use burn::config::Config;

use crate::config::{ConfigError, Field};

use super::{Lanczos, SpectrumEnd};

/// Configuration of [`Lanczos`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `end` | `Largest` | | which end of the spectrum |
/// | `pairs` | 1 | 1 to n | how many of them; at each end for `Both` |
/// | `relative_tolerance` | 1e-5 | > 0 | converged if ‖A y − θ y‖ ≤ tolerance · max\|θ\| |
/// | `max_products` | min(10 n, 1000) | ≥ 1 | besides one per pair for the true residuals |
/// | `subspace` | max(30, 2 pairs + 20) | ≥ pairs + 2 | largest number of vectors kept; fewer mean more products |
/// | `confirm_copies` | true | | with several pairs at one end, look for copies of eigenvalues that one start cannot see |
/// | `seed` | 0 | | of the random start |
///
/// # Example
/// ```
/// use burn_curvature::{LanczosConfig, spectrum::SpectrumEnd};
/// let config = LanczosConfig::new().with_end(SpectrumEnd::Smallest).with_pairs(3);
/// assert!(config.clone().with_subspace(Some(20)).init().is_ok());
/// assert!(config.with_subspace(Some(4)).init().is_err());
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct LanczosConfig {
    /// Which eigenvalues.
    #[config(default = "SpectrumEnd::Largest")]
    pub end: SpectrumEnd,
    /// How many of them; at each end for [`SpectrumEnd::Both`].
    #[config(default = 1)]
    pub pairs: usize,
    /// Converged if ‖A y − θ y‖ ≤ tolerance · max|θ|.
    #[config(default = 1e-5)]
    pub relative_tolerance: f64,
    /// Largest number of products, besides one per pair for the true residuals; `None` is min(10 n, 1000).
    pub max_products: Option<usize>,
    /// Largest number of vectors kept; `None` is 20 more than twice the pairs, and at least 30.
    pub subspace: Option<usize>,
    /// With several pairs at one end, look for copies of eigenvalues that one start cannot see.
    #[config(default = true)]
    pub confirm_copies: bool,
    /// Seed of the random start.
    #[config(default = 0)]
    pub seed: u64,
}

impl LanczosConfig {
    /// Checks the ranges and builds the method.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<Lanczos, ConfigError> {
        let field = |name| Field { config: "LanczosConfig", name };
        field("pairs").at_least_one(self.pairs)?;
        field("relative_tolerance").positive(self.relative_tolerance)?;
        if let Some(products) = self.max_products {
            field("max_products").at_least_one(products)?;
        }
        if let Some(subspace) = self.subspace {
            let enough = subspace >= self.wanted().saturating_add(2);
            field("subspace").check(
                subspace as f64,
                enough,
                "at least two more than the pairs at both ends together",
            )?;
        }
        Ok(Lanczos { config: self.clone() })
    }

    /// Number of pairs at both ends together.
    pub(super) fn wanted(&self) -> usize {
        self.pairs.saturating_mul(self.end.ends())
    }

    pub(super) fn capacity(&self) -> usize {
        let default = self.wanted().saturating_mul(2).saturating_add(20).max(30);
        self.subspace.unwrap_or(default)
    }

    pub(super) fn product_limit(&self, unknowns: usize) -> usize {
        self.max_products.unwrap_or(unknowns.saturating_mul(10).min(1000))
    }
}

impl Default for LanczosConfig {
    fn default() -> Self {
        Self::new()
    }
}
