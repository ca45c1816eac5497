//! K-FAC as an optimizer: the algorithm of Martens & Grosse, and a light mode for mini-batches. Depends on K-FAC and
//! curvature; independent of solvers.

mod config;
mod model;
mod report;
mod running;
mod size;
mod state;
mod step;
mod steps;

pub use config::{KfacInverse, KfacOptimizerConfig, StepRule};
pub use report::KfacStep;
pub use state::KfacOptimizerState;

use std::fmt;

use burn_backend::AutodiffBackend;

use super::OptimizerError;
use crate::{
    derive::Likelihood,
    error::Error,
    kfac::{KfacCollector, KfacCoverage},
    objective::Objective,
    space::ParamVector,
    tensor::DefaultBackend,
};
use running::Running;

/// The K-FAC optimizer: steps along the natural gradient with [`Kfac`](crate::Kfac) for the Fisher matrix.
///
/// ```text
/// h(θ) = ℒ(θ) + η/2 ‖θ‖²        Δ = −(F̂ damped by γ)⁻¹ ∇h        θ ← θ + αΔ + μδ₀
/// ```
///
/// F̂ is a moving average of Kronecker factors. By default α and μ, the share of the step δ₀ before, are those at which
/// the quadratic model M(δ) = h + ∇hᵀδ + ½ δᵀ(F + (λ + η)I)δ with the exact Fisher matrix of the batch is lowest; λ follows
/// the ratio of actual to predicted decrease (Levenberg–Marquardt), and γ is periodically chosen among three values. In the
/// light mode ([`KfacOptimizerConfig::stochastic`]) the size of a step is a learning rate that
/// [`set_learning_rate`](Self::set_learning_rate) changes, with a limit on the change of the predictions.
///
/// A step takes a model and returns it moved, as Burn's optimizers do; [`transform`](Self::transform) returns the natural
/// gradient instead, for Burn's own optimizers to step by.
///
/// # Batch normalization and dropout
///
/// Networks with layers that train otherwise than they are evaluated are captured in evaluation mode
/// ([`CaptureConfig::evaluation`](crate::CaptureConfig::evaluation)), and train as with Burn's optimizers: if the model
/// that a step is given is in training mode, ℒ and ∇ℒ are those of Burn's own `backward()` on it, with dropped units and
/// the statistics of the batch, and that pass updates the running statistics, which the model returned holds. The curvature
/// is that of evaluation mode at the running statistics of the moment.
///
/// On a [shared](Objective::shared) objective every rank runs its batch in training mode as data-parallel training does: with
/// the statistics of that batch, and units dropped by its own random numbers. Loss, gradient and the running statistics
/// are averaged with the weights of the batches, by one message, so that the model stays the same on all ranks.
///
/// A network that is captured in training mode ([`CaptureConfig::training`](crate::CaptureConfig::training)) has the
/// curvature of the batch's own statistics. These let every sample reach the rows of all others, so it takes targets that
/// are drawn ([`KfacFisher::MonteCarlo`](crate::kfac::KfacFisher::MonteCarlo)) or none, and a closure that returns
/// [`Loss::mean_of`](crate::Loss::mean_of).
///
/// # How long a step is in the light mode
///
/// The limit on the change of the predictions, not the learning rate, decides at first: while the natural gradient is long,
/// steps at rates 0.1 and 0.03 are the same. [`KfacStep::limited`] says so. The rate decides once steps are within the
/// limit.
///
/// # Cost
///
/// Per step: gradient and factors, about two gradients; for the quadratic model two products with the Fisher
/// matrix; every `damping_period` steps a forward pass; every `inverse_period` steps the inverse of all factors on the
/// host.
///
/// # References
///
/// Martens & Grosse 2015, *Optimizing neural networks with Kronecker-factored approximate curvature*, sections 6 to 9.
/// Ba, Grosse & Martens 2017, *Distributed second-order optimization using Kronecker-factored approximations*, section 5.
/// George et al. 2018, *Fast approximate natural gradient descent in a Kronecker-factored eigenbasis*, section 3
/// ([`KfacInverse::EigenvalueCorrected`]).
///
/// # Example
///
/// Least squares with one weight: F is exact and the quadratic model the objective itself, so that one step without
/// decay and with hardly any damping lands on the solution.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{KfacConfig, KfacOptimizerConfig, Likelihood, Objective, Reduction};
///
/// #[derive(Module, Debug)]
/// struct Line {
///     w: Param<Tensor<2>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Line { w: Param::from_tensor(Tensor::zeros([1, 1], &device)) };
/// let x = Tensor::<2>::from_floats([[1.0], [2.0]], &device);
/// let y = Tensor::<2>::from_floats([[3.0], [6.0]], &device);
/// let batch = (x, y);
///
/// let objective = Objective::capture(&model, batch.clone(), |model, (x, y)| {
///     let z = x.matmul(model.w.val());
///     (z.clone(), (z - y).powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let mut optimizer = KfacOptimizerConfig::new()
///     .with_kfac(KfacConfig::new())
///     .with_damping(1e-6)
///     .with_weight_decay(0.0)
///     .init(&objective.reduced_by(Reduction::Sum)?, Likelihood::Gaussian { variance: 1.0 })?;
/// let (model, step) = optimizer.step(&model, batch)?;
/// assert!((model.w.val().into_scalar::<f32>() - 3.0).abs() < 1e-4);
/// assert_eq!(step.value, 22.5);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KfacOptimizer<B: AutodiffBackend = DefaultBackend> {
    config: KfacOptimizerConfig,
    objective: Objective<B>,
    likelihood: Likelihood,
    collector: KfacCollector,
    progress: Progress<B>,
}

/// The state carried from one step to the next.
#[derive(Clone)]
pub(super) struct Progress<B: AutodiffBackend> {
    step: usize,
    /// λ
    damping: f64,
    /// γ
    gamma: f64,
    /// δ₀
    previous: Option<ParamVector<B>>,
    running: Running<B>,
}

impl<B: AutodiffBackend> KfacOptimizer<B> {
    fn new(
        config: KfacOptimizerConfig,
        objective: &Objective<B>,
        likelihood: Likelihood,
    ) -> Result<Self, Error> {
        if config.check_loss {
            objective.expect_likelihood(likelihood)?;
        }
        // Once is enough: the batches of later steps have the same loss.
        let objective = objective.without_loss_check();
        let collector = KfacCollector::new(&objective, likelihood, &config.kfac)?;
        if config.inverse == KfacInverse::EigenvalueCorrected {
            collector.expect_gradients()?;
        }
        let damping = config.damping;
        Ok(Self {
            progress: Progress {
                step: 0,
                damping,
                gamma: (damping + config.weight_decay).sqrt(),
                previous: None,
                running: Running::new(),
            },
            collector,
            objective,
            likelihood,
            config,
        })
    }

    /// How each parameter is approximated.
    pub fn coverage(&self) -> &KfacCoverage {
        self.collector.coverage()
    }

    /// The configuration, with the most recently set learning rate.
    pub fn config(&self) -> &KfacOptimizerConfig {
        &self.config
    }

    /// λ
    pub fn damping(&self) -> f64 {
        self.progress.damping
    }

    /// Sets λ, for a schedule. It takes effect when the inverse is next computed.
    ///
    /// # Errors
    /// [`ConfigError`](crate::errors::ConfigError) for a λ that is not a finite number above zero.
    pub fn set_damping(&mut self, damping: f64) -> Result<(), Error> {
        self.config.clone().with_damping(damping).validate()?;
        self.progress.damping = damping;
        Ok(())
    }

    /// Sets the learning rate, as from a scheduler of Burn: `optimizer.set_learning_rate(scheduler.step().base())`.
    ///
    /// # Errors
    /// [`OptimizerError::NoLearningRate`] where the quadratic model chooses the size of the steps;
    /// [`ConfigError`](crate::errors::ConfigError) for a rate that is negative or not finite. Zero is no step.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<(), Error> {
        let StepRule::LearningRate { momentum, limit, .. } = self.config.rule else {
            return Err(
                OptimizerError::NoLearningRate { found: rate, rule: "QuadraticModel" }.into()
            );
        };
        let config =
            self.config.clone().with_rule(StepRule::LearningRate { rate, momentum, limit });
        config.validate()?;
        self.config = config;
        Ok(())
    }
}

impl<B: AutodiffBackend> fmt::Debug for KfacOptimizer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KfacOptimizer")
            .field("config", &self.config)
            .field("step", &self.progress.step)
            .field("damping", &self.progress.damping)
            .finish_non_exhaustive()
    }
}
