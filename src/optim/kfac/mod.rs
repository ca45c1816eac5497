//! K-FAC as an optimizer: the algorithm of Martens & Grosse, and a light mode for mini-batches. Depends on K-FAC and
//! curvature; independent of solvers.

mod config;
mod model;
mod report;
mod running;
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

/// The K-FAC optimizer: steps along the natural gradient, with [`Kfac`](crate::Kfac) in place of the Fisher matrix.
///
/// ```text
/// h(θ) = ℒ(θ) + η/2 ‖θ‖²        Δ = −(F̂ damped by γ)⁻¹ ∇h        θ ← θ + αΔ + μδ₀
/// ```
///
/// η is the weight decay, F̂ consists of moving averages of Kronecker factors, and δ₀ is the previous step. By default
/// α and μ minimize the quadratic model M(δ) = h + ∇hᵀδ + ½ δᵀ(F + (λ + η)I)δ, where F is the exact Fisher matrix of
/// the batch. λ follows the ratio of actual to predicted decrease (Levenberg–Marquardt); γ is periodically chosen among
/// three values.
///
/// In the light mode ([`KfacOptimizerConfig::stochastic`]) a learning rate decides the size of a step, with a limit on the
/// change of the predictions. [`set_learning_rate`](Self::set_learning_rate) changes the rate.
///
/// A step takes a model and returns the updated one, as Burn's optimizers do. [`transform`](Self::transform) returns the
/// natural gradient instead, for Burn's own optimizers.
///
/// # Batch normalization and dropout
///
/// Capture a network with such layers in evaluation mode
/// ([`CaptureConfig::evaluation`](crate::CaptureConfig::evaluation)), and pass a model in training mode to every step.
/// The network then trains as with Burn's optimizers: ℒ and ∇ℒ are those of Burn's own `backward()`, with dropped units
/// and the statistics of the batch. That pass also updates the running statistics of the model that is returned. The
/// curvature is that of evaluation mode at the current running statistics.
///
/// On a [shared](Objective::shared) objective every rank runs its batch in training mode as data-parallel training does: with
/// the statistics of that batch, and units dropped by its own random numbers. Loss, gradient and the running statistics
/// are averaged with the weights of the batches, by one message, so that the model stays the same on all ranks.
///
/// A network that is captured in training mode ([`CaptureConfig::training`](crate::CaptureConfig::training)) has the
/// curvature of the batch's own statistics. Through these, every sample affects the rows of all others. So the targets
/// must be drawn, as they are by default ([`KfacFisher::MonteCarlo`](crate::kfac::KfacFisher::MonteCarlo)), or not used
/// at all, and the closure must return [`Loss::mean_of`](crate::Loss::mean_of).
///
/// # Parameters without a layer
///
/// By default K-FAC **estimates** the diagonal of their block by random draws where the exact block is expensive
/// ([`UncoveredPolicy::ExactWhereCheap`](crate::kfac::UncoveredPolicy::ExactWhereCheap)). The estimate only scales the
/// direction of these parameters: loss, gradient and the quadratic model are exact.
/// [`coverage().diagonals()`](crate::kfac::KfacCoverage::diagonals) lists these parameters;
/// `with_kfac(KfacConfig::new().with_uncovered(…))` chooses exact blocks, or an error.
///
/// # How long a step is in the light mode
///
/// At first the limit on the change of the predictions determines the step, not the learning rate. While the natural
/// gradient is long, rates of 0.1 and 0.03 give the same step, and [`KfacStep::limited`] is true. The rate takes over once
/// steps are within the limit.
///
/// # Cost
///
/// - Every step: gradient and factors, about two gradients.
/// - With the quadratic model: a product with the Fisher matrix for Δ, of which there are three in the steps that search for γ,
///   and another one for the previous step δ₀; and a forward pass, which refuses steps to a loss that is not finite.
/// - Every `damping_period` steps, where the gradient is your own or that of a model in training mode: another forward pass.
/// - Every `inverse_period` steps: the inverse of all factors, on the host or, for large ones on a GPU, on the device
///   ([`KfacInversion`](crate::kfac::KfacInversion)). Eigendecompositions may run in the background
///   ([`KfacOptimizerConfig::background`]).
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
/// Least squares with one weight: K-FAC is exact, and the quadratic model is the objective itself. So one step without weight
/// decay and with almost no damping reaches the solution.
///
/// ```
/// use burn::{nn, prelude::*};
/// use burn_curvature::{KfacConfig, KfacOptimizerConfig, Likelihood, Objective, Reduction};
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = nn::LinearConfig::new(1, 1).with_bias(false);
/// let model = model.with_initializer(nn::Initializer::Zeros).init(&device);
/// let x = Tensor::<2>::from_floats([[1.0], [2.0]], &device);
/// let y = Tensor::<2>::from_floats([[3.0], [6.0]], &device);
/// let batch = (x, y);
///
/// let objective = Objective::capture(&model, batch.clone(), |model, (x, y)| {
///     let z = model.forward(x);
///     (z.clone(), (z - y).powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let mut optimizer = KfacOptimizerConfig::new()
///     .with_kfac(KfacConfig::new())
///     .with_damping(1e-6)
///     .with_weight_decay(0.0)
///     .init(&objective.reduced_by(Reduction::Sum)?, Likelihood::Gaussian { variance: 1.0 })?;
/// let (model, step) = optimizer.step(&model, batch)?;
/// assert!((model.weight.val().into_scalar::<f32>() - 3.0).abs() < 1e-4);
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

    /// How each parameter is approximated, and which ones have only an estimated diagonal.
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

    /// Sets λ, for a schedule. It takes effect on the quadratic model at once, and on the inverse when that is next computed:
    /// γ changes in proportion to √(λ + η), also where it is searched.
    ///
    /// # Errors
    /// [`ConfigError`](crate::errors::ConfigError) for a λ that is not a finite number above zero.
    pub fn set_damping(&mut self, damping: f64) -> Result<(), Error> {
        self.config.clone().with_damping(damping).validate()?;
        let decay = self.config.weight_decay;
        self.progress.gamma *= ((damping + decay) / (self.progress.damping + decay)).sqrt();
        self.progress.damping = damping;
        Ok(())
    }

    /// Waits for eigendecompositions that run in the background, so that the next step uses them.
    ///
    /// # Errors
    /// The failure of a decomposition. The optimizer then continues with the previous inverse, and starts another
    /// decomposition when one is next due. On a [shared](Objective::shared) objective the next step fails, on all ranks.
    pub fn wait(&mut self) -> Result<(), Error> {
        if let Some(pending) = &self.progress.running.pending {
            pending.wait();
        }
        if self.objective.is_shared() {
            return Ok(()); // ranks that wait and ranks that do not make the same calls
        }
        let objective = self.objective.clone();
        self.finished(&objective).map(drop)
    }

    /// Whether decompositions in the background are finished, on all ranks that share an objective. Drops failed ones and
    /// returns the error. Collective.
    fn finished(&mut self, objective: &Objective<B>) -> Result<bool, Error> {
        let pending = &mut self.progress.running.pending;
        let Some(begun) = pending else { return Ok(false) };
        if !objective.everywhere(begun.is_done())? {
            return Ok(false);
        }
        let outcome = objective.agreed(begun.failure().map_or(Ok(()), Err));
        if outcome.is_err() {
            *pending = None;
        }
        outcome.map(|()| true)
    }

    /// Sets the learning rate, as from a scheduler of Burn: `optimizer.set_learning_rate(scheduler.step().base())`.
    ///
    /// # Errors
    /// [`OptimizerError::NoLearningRate`] where the quadratic model chooses the size of the steps;
    /// [`ConfigError`](crate::errors::ConfigError) for a rate that is negative or not finite. Zero means no step.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<(), Error> {
        let StepRule::LearningRate { momentum, limit, .. } = self.config.rule else {
            return Err(OptimizerError::NoLearningRate {
                found: rate,
                rule: self.config.rule.name(),
            }
            .into());
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
