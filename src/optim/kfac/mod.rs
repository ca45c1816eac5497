//! K-FAC as an optimizer: the algorithm of Martens & Grosse, and a light mode for mini-batches. Depends on K-FAC and
//! curvature; independent of solvers.

mod config;
mod model;
mod report;
mod running;
mod state;
mod step;

pub use config::{KfacInverse, KfacOptimizerConfig, StepRule};
pub use report::KfacStep;
pub use state::KfacOptimizerState;

use std::fmt;

use burn::{module::Module, optim::GradientsParams};
use burn_backend::AutodiffBackend;

use super::OptimizerError;
use crate::{
    capture::Batch,
    derive::Likelihood,
    error::Error,
    kfac::{KfacCollector, KfacCoverage},
    objective::Objective,
    space::ParamVector,
    tensor::{DefaultBackend, Precision, TensorBridge},
};
use running::Running;

/// The K-FAC optimizer: steps along the natural gradient with [`Kfac`](crate::Kfac) for the Fisher matrix.
///
/// ```text
/// h(θ) = ℒ(θ) + η/2 ‖θ‖²        Δ = −(F̂ damped by γ)⁻¹ ∇h        θ ← θ + αΔ + μδ₀
/// ```
///
/// F̂ is a moving average of Kronecker factors. By default α and μ, the share of the step δ₀ before, are those at which
/// the quadratic model M(δ) = h + ∇hᵀδ + ½ δᵀ(F + (λ + η)I)δ with the exact Fisher matrix of the batch is lowest; λ follows the
/// ratio of actual to predicted decrease (Levenberg–Marquardt), and γ is periodically chosen among three values. In the light
/// mode ([`KfacOptimizerConfig::stochastic`]) the size of a step is a learning rate that
/// [`set_learning_rate`](Self::set_learning_rate) changes, with a limit on the change of the predictions.
///
/// A step takes a model and returns it moved, as Burn's optimizers do; [`transform`](Self::transform) returns the natural
/// gradient instead, for Burn's own optimizers to step by.
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
    /// [`ConfigError`](crate::errors::ConfigError) for a rate that is not a finite number above zero.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<(), Error> {
        let StepRule::LearningRate { momentum, limit, .. } = self.config.rule else {
            return Err(OptimizerError::NoLearningRate { found: rate }.into());
        };
        let config =
            self.config.clone().with_rule(StepRule::LearningRate { rate, momentum, limit });
        config.validate()?;
        self.config = config;
        Ok(())
    }
}

impl<B: AutodiffBackend> KfacOptimizer<B>
where
    B::InnerBackend: TensorBridge,
{
    /// One step on a batch: the updated model, and a report of the step.
    ///
    /// A model in another precision than the objective's is updated in the objective's precision. On an error the optimizer
    /// is unchanged.
    ///
    /// # Errors
    /// Those of [`Objective::on`] and [`KfacConfig::init`](crate::KfacConfig::init); a loss or gradient that is not finite; a model
    /// without the parameters that were captured.
    pub fn step<M: Module, X: Batch>(
        &mut self,
        model: &M,
        batch: X,
    ) -> Result<(M, KfacStep), Error> {
        let objective = self.objective.on(batch)?;
        self.step_on(model, &objective)
    }

    /// One step on an objective of the same model, such as one over a data set.
    ///
    /// # Errors
    /// As [`step`](Self::step); an objective of another model.
    pub fn step_on<M: Module>(
        &mut self,
        model: &M,
        objective: &Objective<B>,
    ) -> Result<(M, KfacStep), Error> {
        let (objective, _) = self.at(model, objective)?;
        let (delta, report) = self.advance(&objective)?;
        let model = if report.taken { delta.add_to(model, 1.0)? } else { model.clone() };
        Ok((model, report))
    }

    /// The natural gradient (F̂ damped by γ)⁻¹∇h on a batch, as gradients for an optimizer of Burn, with its momentum,
    /// clipping and learning rates. This optimizer's quadratic model and momentum are not used.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    ///
    /// # Example
    /// The natural gradient of least squares leads to the solution in one step of rate 1.
    ///
    /// ```
    /// use burn::{optim::SgdConfig, module::Param, prelude::*};
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
    /// let objective = Objective::capture(&model, x.clone(), |model, x| {
    ///     let z = x.clone().matmul(model.w.val());
    ///     (z.clone(), (z - x * 3.0).powf_scalar(2.0).sum() * 0.5)
    /// })?;
    /// let mut kfac = KfacOptimizerConfig::stochastic(1.0)
    ///     .with_kfac(KfacConfig::new())
    ///     .with_damping(1e-6)
    ///     .init(&objective.reduced_by(Reduction::Sum)?, Likelihood::Gaussian { variance: 1.0 })?;
    /// let (gradients, _) = kfac.transform(&model, x)?;
    /// let model = SgdConfig::new().init().step(1.0, model, gradients);
    /// assert!((model.w.val().into_scalar::<f32>() - 3.0).abs() < 1e-2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn transform<M: Module, X: Batch>(
        &mut self,
        model: &M,
        batch: X,
    ) -> Result<(GradientsParams, KfacStep), Error> {
        let (objective, precision) = self.at(model, &self.objective.on(batch)?)?;
        let (gradient, report) = self.natural_gradient(&objective)?;
        Ok((gradient.cast(precision)?.into_gradients()?, report))
    }

    /// The objective at a model's parameters, and their precision in the model.
    fn at<M: Module>(
        &self,
        model: &M,
        objective: &Objective<B>,
    ) -> Result<(Objective<B>, Precision), Error> {
        self.objective.layout().expect_same(objective.layout())?;
        let parameters = ParamVector::from_module_with(objective.layout(), model)?;
        let precision = parameters.precision();
        let objective = objective.without_loss_check();
        let objective = objective.stating(self.objective.stated_reduction()?)?;
        let at = objective.at(&parameters.cast(objective.precision())?)?;
        Ok((at, precision))
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
