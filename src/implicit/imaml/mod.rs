//! Model-agnostic meta-learning with implicit gradients, iMAML (Rajeswaran, Finn, Kakade & Levine 2019).

mod config;
mod problem;
mod report;

pub use config::ImamlConfig;
pub use problem::ProximalProblem;
pub use report::{MetaReport, TaskReport};

use burn_backend::AutodiffBackend;

use super::{ImplicitError, InnerReport};
use crate::{
    capture::Batch,
    error::Error,
    objective::Objective,
    panics::caught,
    solver::LinearSolver,
    space::ParamVector,
    tensor::{DefaultBackend, TensorBridge},
};

/// Meta-learning by implicit gradients: a start θ from which few samples of a new task suffice. Made by
/// [`ImamlConfig::init`].
///
/// ```text
/// φᵢ(θ) = argmin L̂ᵢ(φ) + λ/2·‖φ − θ‖²      F(θ) = mean of Lᵢ(φᵢ(θ))      ∇F = mean of (I + Hᵢ/λ)⁻¹ ∇Lᵢ(φᵢ)
/// ```
///
/// L̂ᵢ is the loss on the training batch of task i, Lᵢ that on its test batch, Hᵢ = ∇²L̂ᵢ(φᵢ). The objective gives the loss and
/// θ: a task is a pair of batches for its closure. How φᵢ is found does not matter, so that memory does not depend on
/// the number of inner steps.
///
/// # Cost
/// For each task: the inner solver, a gradient on each batch, and the products of one solve.
///
/// # Requirements
/// I + Hᵢ/λ positive definite, as a λ above the absolute value of the most negative eigenvalue of Hᵢ ensures; the
/// report says if it is not. (The authors' code solves another system, with 2v + Hv/(λ + 10); this follows the paper's
/// equation 6.)
///
/// # References
/// Rajeswaran et al. 2019, *Meta-learning with implicit gradients*, section 3. For the same without the inverse, Finn et al.
/// 2017, *Model-agnostic meta-learning*, section 5.2 (first-order MAML).
///
/// # Example
/// L̂(φ) = ½(φ − 3)² and L = ½(φ − 1)²: φ = (3 + λθ)/(1 + λ), and ∇F = λ/(1 + λ)·(φ − 1).
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{ConjugateGradientConfig, Objective, implicit::ImamlConfig};
///
/// #[derive(Module, Debug)]
/// struct Scalar {
///     value: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Scalar { value: Param::from_tensor(Tensor::zeros([1], &device)) };
/// let number = |number: f32| Tensor::<1>::from_floats([number], &device);
/// let objective = Objective::capture(&model, number(3.0), |model, target| {
///     (model.value.val() - target).powi_scalar(2) * 0.5
/// })?;
///
/// let imaml = ImamlConfig::new(1.0).init(&objective)?;
/// let solver = ConjugateGradientConfig::new().init()?;
/// let meta = imaml.meta_gradient([(number(3.0), number(1.0))], &solver)?;
/// assert_eq!(meta.gradient.to_vec()?, [0.25]); // ½·(1.5 − 1)
/// assert_eq!(meta.report.loss, 0.125);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Imaml<B: AutodiffBackend = DefaultBackend> {
    config: ImamlConfig,
    objective: Objective<B>,
}

/// ∇F, the mean over the tasks, with a report on each.
#[derive(Clone, Debug)]
pub struct MetaGradient<B: AutodiffBackend = DefaultBackend> {
    /// ∇F, laid out as the model: [`into_gradients`](ParamVector::into_gradients) passes it to an optimizer of Burn.
    pub gradient: ParamVector<B>,
    /// The tasks.
    pub report: MetaReport,
}

impl<B: AutodiffBackend> Imaml<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The configuration.
    pub fn config(&self) -> &ImamlConfig {
        &self.config
    }

    /// The objective, at θ.
    pub fn objective(&self) -> &Objective<B> {
        &self.objective
    }

    /// The same at another start θ.
    ///
    /// # Errors
    /// As [`Objective::at`].
    pub fn at(&self, theta: &ParamVector<B>) -> Result<Self, Error> {
        Ok(Self { config: self.config.clone(), objective: self.objective.at(theta)? })
    }

    /// The inner problem of a task at θ.
    ///
    /// # Errors
    /// As [`Objective::on`].
    pub fn problem<X: Batch>(&self, training: X) -> Result<ProximalProblem<B>, Error> {
        let loss = self.objective.on(training)?;
        Ok(ProximalProblem::new(loss, self.config.regularization, self.config.curvature))
    }

    /// φ: the parameters adapted to a task, by the configured inner solver.
    ///
    /// # Errors
    /// As [`problem`](Self::problem); those of [`InnerSolver`](super::InnerSolver).
    pub fn adapt<X: Batch>(&self, training: X) -> Result<(ParamVector<B>, InnerReport), Error> {
        self.problem(training)?.minimize(&self.config.inner)
    }

    /// The meta-gradient over tasks, pairs of a training and a test batch, by the configured inner solver.
    ///
    /// # Errors
    /// [`ImplicitError::NoTasks`]; those of [`Objective::on`], of the inner solver and of the solver; values that are NaN or
    /// infinite. A φ that is no minimum, an indefinite matrix and a solve that stops short are not errors but verdicts
    /// of the report.
    pub fn meta_gradient<X: Batch>(
        &self,
        tasks: impl IntoIterator<Item = (X, X)>,
        solver: &dyn LinearSolver<B>,
    ) -> Result<MetaGradient<B>, Error> {
        let inner = self.config.inner;
        self.meta_gradient_with(tasks, solver, |problem| Ok(problem.minimize(&inner)?.0))
    }

    /// The meta-gradient with an inner solver given by the caller: a closure from the inner problem of a task to φ.
    ///
    /// # Errors
    /// As [`meta_gradient`](Self::meta_gradient); [`ImplicitError::InnerSolver`] for a closure that panics, its own errors, a φ
    /// of another space, or one with an element that is not finite.
    pub fn meta_gradient_with<X: Batch>(
        &self,
        tasks: impl IntoIterator<Item = (X, X)>,
        solver: &dyn LinearSolver<B>,
        mut inner: impl FnMut(&ProximalProblem<B>) -> Result<ParamVector<B>, Error>,
    ) -> Result<MetaGradient<B>, Error> {
        let (mut sum, mut reports) = (None::<ParamVector<B>>, Vec::new());
        for (task, (training, test)) in tasks.into_iter().enumerate() {
            let problem = self.problem(training)?;
            let mut found = || {
                let phi = caught(|| inner(&problem))
                    .map_err(|message| ImplicitError::InnerSolver { task, message })??;
                self.objective.parameters().space().expect_same(phi.space())?;
                phi.expect_finite("the result of the inner solver")?;
                Ok(phi)
            };
            let phi = self.objective.agreed(found())?;
            let test = self.objective.on(test)?.at_keeping_buffers(&phi)?;
            let (gradient, report) = problem.pull_back(&phi, &test, solver)?;
            reports.push(report);
            sum = Some(match sum {
                Some(sum) => sum.add(&gradient)?,
                None => gradient,
            });
        }
        let sum = sum.ok_or(ImplicitError::NoTasks)?;
        let gradient = sum.scale(1.0 / reports.len() as f64);
        gradient.expect_finite("the meta-gradient")?;
        Ok(MetaGradient { gradient, report: MetaReport::of(reports) })
    }
}
