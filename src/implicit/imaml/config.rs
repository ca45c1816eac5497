//! Configuration of iMAML and its ranges.

use burn::config::Config;
use burn_backend::AutodiffBackend;

use super::{
    super::{InnerCurvature, InnerSolver},
    Imaml,
};
use crate::{config::Field, error::Error, objective::Objective};

/// Configuration of [`Imaml`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `regularization` | | > 0 | λ, which ties φ to θ |
/// | `inner` | [`InnerSolver::NewtonCg`] | | how φ is found, unless a closure is given |
/// | `curvature` | `Hessian` | | H of the meta-gradient, and of Newton steps |
///
/// # Example
/// ```
/// use burn_curvature::implicit::{ImamlConfig, InnerSolver};
/// let inner = InnerSolver::GradientDescent { steps: 16, rate: 0.1 };
/// assert_eq!(ImamlConfig::new(2.0).with_inner(inner).regularization, 2.0);
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct ImamlConfig {
    /// λ, which ties φ to θ.
    pub regularization: f64,
    /// How φ is found, unless a closure is given.
    #[config(default = "InnerSolver::default()")]
    pub inner: InnerSolver,
    /// The matrix H.
    #[config(default = "InnerCurvature::Hessian")]
    pub curvature: InnerCurvature,
}

impl ImamlConfig {
    /// Checks the ranges and prepares meta-gradients at the parameters θ of an objective.
    ///
    /// # Errors
    /// [`ConfigError`](crate::errors::ConfigError) for the first field out of range.
    pub fn init<B: AutodiffBackend>(&self, objective: &Objective<B>) -> Result<Imaml<B>, Error> {
        let field = |name| Field { config: "ImamlConfig", name };
        field("regularization").positive(self.regularization)?;
        self.inner.check()?;
        Ok(Imaml { config: self.clone(), objective: objective.clone() })
    }
}
