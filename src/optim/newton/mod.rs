//! Newton-type optimizers: a direction, a rule for the size of the step, and presets of both. Depends on solvers,
//! curvature and K-FAC.

mod config;
mod direction;
mod presets;
mod report;
mod rule;
mod state;
mod step;
mod steps;

pub use config::NewtonOptimizerConfig;
pub use direction::{Curvature, Direction, Forcing, Preconditioner, TruncatedCg};
pub use presets::{
    HessianFreeConfig, LevenbergMarquardtConfig, LissaNewtonConfig, NewtonCgConfig,
    TrustRegionNewtonConfig,
};
pub use report::{NewtonStep, Verdict};
pub use rule::{Armijo, DampingRule, Rule};
pub use state::NewtonOptimizerState;

use std::fmt;

use burn_backend::AutodiffBackend;

use super::{OptimizerError, point};
use crate::{error::Error, objective::Objective, space::ParamVector, tensor::DefaultBackend};
use direction::Factors;

/// A Newton-type optimizer: a [`Direction`] from the curvature of the loss, and a [`Rule`] for the size of the step.
///
/// ```text
/// h(θ) = ℒ(θ) + η/2 ‖θ‖²        δ ≈ −(A + (λ + η)I)⁻¹ ∇h        θ ← θ + αδ
/// ```
///
/// A is the Hessian or the Gauss-Newton matrix of ℒ, η the weight decay, λ the damping. The presets [`NewtonCgConfig`],
/// [`TrustRegionNewtonConfig`], [`LissaNewtonConfig`], [`HessianFreeConfig`] and [`LevenbergMarquardtConfig`] are
/// methods from the literature. [`NewtonOptimizerConfig`] combines any direction with any rule.
///
/// A step takes a model and returns the updated one, with a [`NewtonStep`] whose [`Verdict`] says what happened. If the rule
/// refuses the step, the model stays as it is, and the next step starts with a larger λ or a smaller radius.
///
/// # Close to a minimum
///
/// There the decrease of h is lost in rounding long before ∇h is. If the expected decrease is below 256 units of
/// rounding of h, the step is judged by ‖∇h‖ instead ([`Verdict::WithinRounding`]), which costs a gradient.
///
/// # Where h does not fall
///
/// λ does not rise above 10³² (10²⁰ in f32), and the radius does not shrink below the reciprocal of that. If a step is
/// refused there, or is too short to change θ or h beyond rounding although ∇h has not vanished, or if h falls at none
/// of the rates of [`Armijo`], the verdict is [`Verdict::Stalled`], and λ and the radius stay: h is noisy, not finite
/// nearby, or not the function that ∇h belongs to.
///
/// # Stationary points
///
/// A vanishing gradient may belong to a saddle point. With the Hessian, Lanczos' process from a random start then looks
/// for the eigenvector of the smallest eigenvalue, which leads away from a saddle ([`TruncatedCg::leave_saddles`]).
/// Otherwise the verdict is [`Verdict::Stationary`], and no step is taken.
///
/// # Dropout and batch normalization
///
/// The rules compare values of h, so h must not change from one evaluation to the next. [`step`](Self::step) refuses models
/// with layers in training mode. [`step_on`](Self::step_on) takes an objective in the mode in which it was captured.
///
/// # Cost
///
/// One gradient, the products of the direction (see [`NewtonStep::products`]), and a forward pass for each step tried.
///
/// # Example
///
/// See the presets, such as [`NewtonCgConfig`].
#[derive(Clone)]
pub struct NewtonOptimizer<B: AutodiffBackend = DefaultBackend> {
    config: NewtonOptimizerConfig,
    objective: Objective<B>,
    memory: Memory<B>,
}

/// The state carried from one step to the next.
#[derive(Clone)]
struct Memory<B: AutodiffBackend> {
    step: usize,
    /// λ
    damping: f64,
    /// ν of Nielsen's rule.
    growth: f64,
    /// The radius of the trust region.
    radius: Option<f64>,
    /// Steps refused since h last fell.
    refused: usize,
    /// ‖∇h‖ at the first step and at the last one.
    first_norm: Option<f64>,
    last_norm: Option<f64>,
    /// The last relative tolerance of conjugate gradients.
    tolerance: Option<f64>,
    /// The last solution of conjugate gradients, for a warm start.
    solution: Option<ParamVector<B>>,
    /// Of the preconditioner, if it is not computed at every step.
    factors: Option<Factors<B>>,
}

impl<B: AutodiffBackend> NewtonOptimizer<B> {
    fn new(config: NewtonOptimizerConfig, objective: &Objective<B>) -> Result<Self, Error> {
        config.direction.expect_applicable(objective)?;
        let memory = Memory {
            step: 0,
            damping: config.damping,
            growth: 2.0,
            radius: config.rule.radius(),
            refused: 0,
            first_norm: None,
            last_norm: None,
            tolerance: None,
            solution: None,
            factors: None,
        };
        Ok(Self { config, objective: objective.clone(), memory })
    }

    /// The configuration, with the most recently set learning rate.
    pub fn config(&self) -> &NewtonOptimizerConfig {
        &self.config
    }

    /// λ
    pub fn damping(&self) -> f64 {
        self.memory.damping
    }

    /// The radius of the trust region, with [`Rule::TrustRegion`].
    pub fn radius(&self) -> Option<f64> {
        self.memory.radius
    }

    /// Sets λ, for a schedule.
    ///
    /// # Errors
    /// [`ConfigError`](crate::errors::ConfigError) for a λ that is negative or not finite.
    pub fn set_damping(&mut self, damping: f64) -> Result<(), Error> {
        self.config.clone().with_damping(damping).validate()?;
        self.memory.damping = damping;
        Ok(())
    }

    /// Sets the rate of [`Rule::Fixed`], as from a scheduler of Burn:
    /// `optimizer.set_learning_rate(scheduler.step().base())`.
    ///
    /// # Errors
    /// [`OptimizerError::NoLearningRate`] with another rule; [`ConfigError`](crate::errors::ConfigError) for a rate that is
    /// negative or not finite. Zero, as at the end of a schedule, means no step.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<(), Error> {
        let Rule::Fixed { .. } = self.config.rule else {
            return Err(OptimizerError::NoLearningRate {
                found: rate,
                rule: self.config.rule.name(),
            }
            .into());
        };
        let rule = Rule::Fixed { rate };
        rule.validate()?;
        self.config.rule = rule;
        Ok(())
    }
}

impl<B: AutodiffBackend> fmt::Debug for NewtonOptimizer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewtonOptimizer")
            .field("config", &self.config)
            .field("step", &self.memory.step)
            .field("damping", &self.memory.damping)
            .field("radius", &self.memory.radius)
            .finish_non_exhaustive()
    }
}
