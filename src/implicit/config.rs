//! Configuration of the implicit function and its ranges.

use burn::config::Config;
use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{HyperObjective, ImplicitFunction};
use crate::{config::Field, error::Error};

/// The matrix A that stands for ∂²ℒ/∂θ² in the solves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InnerCurvature {
    /// The Hessian: exact.
    #[default]
    Hessian,
    /// The Gauss-Newton matrix in θ: positive semidefinite for a loss that is convex in the outputs, and the Hessian
    /// where the outputs are linear in θ. The closure returns the outputs before the loss, and θ reaches the loss through
    /// them alone. Residual and error bound are those of the exact Hessian.
    GaussNewton,
}

/// Lipschitz constants in θ, in the Euclidean norm, that make the error bound of a hypergradient a theorem.
///
/// They must hold on the ball around θ that contains θ*; for quadratic objectives the constants of derivatives that do
/// not vary are 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LipschitzConstants {
    /// Of the inner Hessian ∂²ℒ/∂θ², in the spectral norm.
    pub hessian: f64,
    /// Of the mixed derivative ∂²ℒ/∂θ∂η of the inner objective, in the spectral norm.
    pub mixed: f64,
    /// Of the outer gradient ∂L/∂θ.
    pub outer_gradient: f64,
    /// Of the direct derivative ∂L/∂η of the outer objective: 0 if it does not depend on η.
    pub outer_direct: f64,
}

/// Configuration of an [`ImplicitFunction`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `curvature` | `Hessian` | | the matrix of the solves |
/// | `damping` | 0 | ≥ 0 | λ in (A + λI)⁻¹: the inner problem becomes ℒ + λ/2·‖θ − θ̂‖² with θ̂ the given point |
/// | `error_bound` | true | | bound the error of hypergradients, at the cost of about another hypergradient |
/// | `strong_convexity` | `None` | ≥ 0 | μ with ∂²ℒ/∂θ² ⪰ μI around θ, known to the caller: the weight decay of a convex loss |
/// | `lipschitz` | `None` | ≥ 0 | if given, and μ + λ > 0, the bound is a theorem; otherwise it is an estimate |
///
/// # Example
/// ```
/// use burn_curvature::implicit::ImplicitConfig;
/// let config = ImplicitConfig::new().with_damping(1e-3).with_error_bound(false);
/// assert_eq!(config.damping, 1e-3);
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct ImplicitConfig {
    /// The matrix of the solves.
    #[config(default = "InnerCurvature::Hessian")]
    pub curvature: InnerCurvature,
    /// λ in (A + λI)⁻¹.
    #[config(default = 0.0)]
    pub damping: f64,
    /// Whether hypergradients come with a bound on their error.
    #[config(default = true)]
    pub error_bound: bool,
    /// A known lower bound μ on the eigenvalues of the inner Hessian around θ: for a loss that is convex in θ with a penalty
    /// ½ Σ dᵢθᵢ² it is the smallest dᵢ. Alone, it bounds the distance from the minimizer
    /// ([`distance_bound`](super::HypergradientReport::distance_bound)); with `lipschitz`, the error of the hypergradient.
    pub strong_convexity: Option<f64>,
    /// Known Lipschitz constants around θ.
    pub lipschitz: Option<LipschitzConstants>,
}

impl ImplicitConfig {
    /// μ + λ, if it is known and above zero.
    pub(super) fn convexity(&self) -> Option<f64> {
        let convexity = self.strong_convexity.map(|convexity| convexity + self.damping);
        convexity.filter(|convexity| *convexity > 0.0)
    }

    /// Checks the ranges and derives the products of θ*(η) at the point of an inner objective.
    ///
    /// # Errors
    /// [`ConfigError`](crate::errors::ConfigError) for the first field out of range;
    /// [`ImplicitError::Independent`](crate::errors::ImplicitError::Independent) for an inner objective whose gradient in θ
    /// does not depend on η; for [`InnerCurvature::GaussNewton`] those of [`GaussNewton::new`](crate::GaussNewton::new).
    #[inline(never)]
    pub fn init<B: AutodiffBackend>(
        &self,
        inner: &HyperObjective<B>,
    ) -> Result<ImplicitFunction<B>, Error> {
        let field = |name| Field { config: "ImplicitConfig", name };
        field("damping").not_negative(self.damping)?;
        if let Some(convexity) = self.strong_convexity {
            field("strong_convexity").not_negative(convexity)?;
        }
        if let Some(constants) = self.lipschitz {
            field("lipschitz.hessian").not_negative(constants.hessian)?;
            field("lipschitz.mixed").not_negative(constants.mixed)?;
            field("lipschitz.outer_gradient").not_negative(constants.outer_gradient)?;
            field("lipschitz.outer_direct").not_negative(constants.outer_direct)?;
        }
        ImplicitFunction::new(self, inner)
    }
}

impl Default for ImplicitConfig {
    fn default() -> Self {
        Self::new()
    }
}
