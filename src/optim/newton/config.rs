//! Configuration of Newton-type optimizers and its ranges.

use burn::config::Config;
use burn_backend::AutodiffBackend;

use super::{Direction, NewtonOptimizer, NewtonOptimizerState, Rule};
use crate::{
    config::{ConfigError, Field},
    error::Error,
    objective::Objective,
};

/// Configuration of [`NewtonOptimizer`]: any direction with any rule.
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `direction` | | | direction of the steps |
/// | `rule` | | | size of the steps |
/// | `damping` | 0 | ≥ 0 | λ in A + λI; the start of [`Rule::LevenbergMarquardt`], for which it must be above 0 |
/// | `weight_decay` | 0 | ≥ 0 | η in h = ℒ + η/2 ‖θ‖², on all parameters |
/// | `gradient_tolerance` | 1e-12 | ≥ 0 | ∇h has vanished if ‖∇h‖ ≤ tolerance · ‖∇h‖ of the first step |
///
/// [`Rule::TrustRegion`] needs [`Direction::ConjugateGradient`] without warm start and without backtracking over iterates.
///
/// # Example
/// ```
/// use burn_curvature::optim::{Armijo, Direction, NewtonOptimizerConfig, Rule, TruncatedCg};
///
/// let direction = Direction::ConjugateGradient(TruncatedCg::new());
/// let config = NewtonOptimizerConfig::new(direction.clone(), Rule::Armijo(Armijo::new()));
/// assert!(config.validate().is_ok());
/// assert!(NewtonOptimizerConfig::new(direction, Rule::Fixed { rate: -1.0 }).validate().is_err());
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct NewtonOptimizerConfig {
    /// Direction of the steps.
    pub direction: Direction,
    /// Size of the steps.
    pub rule: Rule,
    /// λ in A + λI.
    #[config(default = 0.0)]
    pub damping: f64,
    /// η in h = ℒ + η/2 ‖θ‖².
    #[config(default = 0.0)]
    pub weight_decay: f64,
    /// ∇h has vanished if ‖∇h‖ ≤ tolerance · ‖∇h‖ of the first step.
    #[config(default = 1e-12)]
    pub gradient_tolerance: f64,
}

impl NewtonOptimizerConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let field = |name| Field { config: "NewtonOptimizerConfig", name };
        self.direction.validate()?;
        self.rule.validate()?;
        field("damping").not_negative(self.damping)?;
        if let Rule::LevenbergMarquardt { .. } = self.rule {
            let expected = "a number above 0, since the rule multiplies it";
            field("damping").check(self.damping, self.damping > 0.0, expected)?;
        }
        if let Rule::TrustRegion { radius, .. } = self.rule {
            let fits = self.direction.fits_a_region();
            let expected = "a direction by conjugate gradients, without warm start or backtracking over iterates";
            field("rule").check(radius, fits, expected)?;
        }
        field("weight_decay").not_negative(self.weight_decay)?;
        field("gradient_tolerance").not_negative(self.gradient_tolerance)
    }

    /// Checks the ranges and builds the optimizer for a captured model.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range. An objective that lacks what the curvature needs: outputs for the
    /// Gauss-Newton matrix ([`DeriveError::NoOutputs`](crate::errors::DeriveError::NoOutputs)), a stated reduction
    /// ([`ObjectiveError::NoReduction`](crate::errors::ObjectiveError::NoReduction)), or residuals
    /// ([`OptimizerError::NotLeastSquares`](crate::errors::OptimizerError::NotLeastSquares)).
    #[inline(never)]
    pub fn init<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<NewtonOptimizer<B>, Error> {
        self.validate()?;
        NewtonOptimizer::new(self.clone(), objective)
    }

    /// As [`init`](Self::init), from the saved state of an optimizer: the steps continue exactly.
    ///
    /// # Errors
    /// As [`init`](Self::init); [`OptimizerError::State`](crate::errors::OptimizerError::State) for the state of another
    /// architecture, [`Rule`] or initial λ; [`OptimizerError::Instance`](crate::errors::OptimizerError::Instance) for that of another
    /// instance of the model.
    pub fn resume<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        state: &NewtonOptimizerState,
    ) -> Result<NewtonOptimizer<B>, Error> {
        let mut optimizer = self.init(objective)?;
        optimizer.load(state)?;
        Ok(optimizer)
    }
}
