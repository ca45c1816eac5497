//! Configuration of the direct solver and its ranges.

use burn::config::Config;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Field};

use super::Direct;

/// The factorization of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DirectMethod {
    /// Cholesky if the matrix is positive definite, otherwise the eigendecomposition.
    Automatic,
    /// A = L Lᵀ, for a positive definite matrix.
    Cholesky,
    /// A = L B Lᵀ with pivoting after Bunch and Kaufman, for any symmetric matrix that is not singular. Cheaper than the
    /// eigendecomposition, and reports less: of the eigenvalues a direction of negative curvature, if there is one.
    BunchKaufman,
    /// A = U Λ Uᵀ, for any symmetric matrix. Reports κ and finds the singular directions.
    EigenDecomposition,
}

/// Configuration of [`Direct`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `method` | `Automatic` | | which factorization |
/// | `max_size` | 4096 | ≥ 1 | refuse more unknowns than this |
/// | `singular_below` | n·ε | ≥ 0 | eigenvalues below this fraction of the largest count as zero; ε: rounding of b's format |
/// | `symmetry_tolerance` | 1e-4 | ≥ 0 | refuse a matrix with max abs(aᵢⱼ − aⱼᵢ) above this fraction of its largest entry |
///
/// # Example
/// ```
/// use burn_curvature::{DirectConfig, solver::DirectMethod};
/// let config = DirectConfig::new().with_method(DirectMethod::EigenDecomposition);
/// assert!(config.init().is_ok());
/// assert!(config.with_max_size(0).init().is_err());
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct DirectConfig {
    /// Which factorization.
    #[config(default = "DirectMethod::Automatic")]
    pub method: DirectMethod,
    /// Refuse more unknowns than this.
    #[config(default = 4096)]
    pub max_size: usize,
    /// Eigenvalues below this fraction of the largest count as zero; `None` is n times the rounding of b's format.
    pub singular_below: Option<f64>,
    /// Refuse a matrix that is less symmetric than this, relative to its largest entry.
    #[config(default = 1e-4)]
    pub symmetry_tolerance: f64,
}

impl DirectConfig {
    /// Checks the ranges and builds the solver.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<Direct, ConfigError> {
        let field = |name| Field { config: "DirectConfig", name };
        field("max_size").at_least_one(self.max_size)?;
        field("symmetry_tolerance").not_negative(self.symmetry_tolerance)?;
        if let Some(cut) = self.singular_below {
            field("singular_below").not_negative(cut)?;
        }
        Ok(Direct { config: self.clone() })
    }
}

impl Default for DirectConfig {
    fn default() -> Self {
        Self::new()
    }
}
