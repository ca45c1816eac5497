//! Minimizers of inner problems: gradient descent with a fixed step, and Newton's method by conjugate gradients.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{HyperObjective, InnerCurvature, InnerMatrix};
use crate::{
    config::{ConfigError, Field},
    error::Error,
    objective::is_not_finite,
    operator::SelfAdjoint,
    solver::{ConjugateGradientConfig, LinearSolver},
    space::ParamVector,
};

/// Halvings of a Newton step before it is given up.
const HALVINGS: usize = 30;
/// The part of the predicted decrease that a Newton step must reach.
const DECREASE: f64 = 1e-4;
/// Relative residual of a Newton step, at most.
const FORCING: f64 = 0.1;
/// Iterations for a Newton step, at most.
const ITERATIONS: usize = 200;

/// How an inner problem is minimized.
///
/// A training loop of your own can take its place: [`HyperObjective::at_modules`] takes its model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InnerSolver {
    /// θ ← θ − rate·∇ℒ, a fixed number of times, without a test of convergence.
    GradientDescent {
        /// Number of steps, at least 1.
        steps: usize,
        /// Length of a step over that of the gradient.
        rate: f64,
    },
    /// Newton's method: each step by conjugate gradients to a residual of min(0.1, √(‖∇ℒ‖/‖∇ℒ₀‖))‖∇ℒ‖ in at most 200
    /// iterations, along the part before a direction of negative curvature, halved until the loss falls.
    NewtonCg {
        /// Largest number of steps, at least 1.
        steps: usize,
        /// Stop at ‖∇ℒ‖ ≤ gradient_norm.
        gradient_norm: f64,
    },
}

impl Default for InnerSolver {
    /// Newton's method to ‖∇ℒ‖ ≤ 1e-5 in at most 50 steps.
    fn default() -> Self {
        Self::NewtonCg { steps: 50, gradient_norm: 1e-5 }
    }
}

/// How a minimization went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct InnerReport {
    /// Steps taken.
    pub steps: usize,
    /// The loss at the end.
    pub value: f64,
    /// ‖∇ℒ‖ at the end.
    pub gradient_norm: f64,
    /// Whether the gradient is as small as requested; `None` for gradient descent, which has no tolerance.
    pub converged: Option<bool>,
}

/// A function to be minimized, by its values, gradients and curvature.
pub(super) trait Inner<B: AutodiffBackend> {
    /// Value and gradient.
    fn slope(&self, at: &ParamVector<B>) -> Result<(f64, ParamVector<B>), Error>;

    /// The Hessian, or its substitute.
    fn matrix(&self, at: &ParamVector<B>) -> Result<Box<dyn SelfAdjoint<B>>, Error>;
}

impl InnerSolver {
    /// The inner objective at its minimizer in θ, from where it is.
    ///
    /// # Cost
    /// A gradient for each step of gradient descent; for each Newton step a gradient, as many products as conjugate gradients
    /// take, and one more gradient for each halving.
    ///
    /// # Errors
    /// [`ConfigError`](crate::errors::ConfigError) for a field out of range; a loss or gradient that is NaN or
    /// infinite. If the steps do not suffice, the report says so.
    ///
    /// # Example
    /// ```
    /// use burn::{module::Param, prelude::*};
    /// use burn_curvature::implicit::{HyperObjective, InnerSolver};
    ///
    /// #[derive(Module, Debug)]
    /// struct Scalar {
    ///     value: Param<Tensor<1>>,
    /// }
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::default().autodiff();
    /// let scalar = |value: f32| Scalar { value: Param::from_tensor(Tensor::from_floats([value], &device)) };
    /// let inner = HyperObjective::capture(&scalar(0.0), &scalar(1.0), (), |model, decay, ()| {
    ///     let (w, decay) = (model.value.val(), decay.value.val());
    ///     (w.clone() - 1.0).powi_scalar(2) * 0.5 + decay * w.powi_scalar(2) * 0.5
    /// })?;
    /// let (inner, report) = InnerSolver::default().minimize(&inner)?;
    /// assert_eq!((inner.parameters().to_vec()?, report.converged), (vec![0.5], Some(true)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn minimize<B: AutodiffBackend>(
        &self,
        inner: &HyperObjective<B>,
    ) -> Result<(HyperObjective<B>, InnerReport), Error> {
        let (theta, report) = self.run(inner, inner.parameters())?;
        Ok((inner.at_keeping_buffers(&theta)?, report))
    }

    /// Checks the ranges.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let field = |name| Field { config: "InnerSolver", name };
        match *self {
            Self::GradientDescent { steps, rate } => {
                field("steps").at_least_one(steps)?;
                field("rate").positive(rate)
            }
            Self::NewtonCg { steps, gradient_norm } => {
                field("steps").at_least_one(steps)?;
                field("gradient_norm").not_negative(gradient_norm)
            }
        }
    }

    /// Minimizes from a start.
    pub(super) fn run<B: AutodiffBackend>(
        &self,
        inner: &impl Inner<B>,
        start: ParamVector<B>,
    ) -> Result<(ParamVector<B>, InnerReport), Error> {
        self.check()?;
        match *self {
            Self::GradientDescent { steps, rate } => descend(inner, start, (steps, rate)),
            Self::NewtonCg { steps, gradient_norm } => newton(inner, start, (steps, gradient_norm)),
        }
    }
}

fn descend<B: AutodiffBackend>(
    inner: &impl Inner<B>,
    start: ParamVector<B>,
    (steps, rate): (usize, f64),
) -> Result<(ParamVector<B>, InnerReport), Error> {
    let mut x = start;
    for _ in 0..steps {
        let (_, gradient) = inner.slope(&x)?;
        x = x.axpy(-rate, &gradient)?;
    }
    let (value, gradient) = inner.slope(&x)?;
    let gradient_norm = gradient.norm()?;
    Ok((x, InnerReport { steps, value, gradient_norm, converged: None }))
}

fn newton<B: AutodiffBackend>(
    inner: &impl Inner<B>,
    start: ParamVector<B>,
    (most, target): (usize, f64),
) -> Result<(ParamVector<B>, InnerReport), Error> {
    let mut x = start;
    let (mut value, mut gradient) = inner.slope(&x)?;
    let mut norm = gradient.norm()?;
    let first = norm;
    let mut steps = 0;
    while steps < most && norm > target {
        let forcing = (norm / first).sqrt().min(FORCING);
        let direction = direction(inner, (&x, &gradient), forcing)?;
        let slope = gradient.dot(&direction)?;
        let Some(next) = halved(inner, (&x, value), (&direction, slope))? else { break };
        (x, value, gradient) = next;
        norm = gradient.norm()?;
        steps += 1;
    }
    let converged = Some(norm <= target);
    Ok((x, InnerReport { steps, value, gradient_norm: norm, converged }))
}

/// −A⁻¹∇ℒ, as far as A is positive along the search directions; −∇ℒ if it is not along the first.
fn direction<B: AutodiffBackend>(
    inner: &impl Inner<B>,
    (x, gradient): (&ParamVector<B>, &ParamVector<B>),
    forcing: f64,
) -> Result<ParamVector<B>, Error> {
    let solver = ConjugateGradientConfig::new()
        .with_relative_tolerance(forcing)
        .with_max_iterations(Some(ITERATIONS))
        .init()?;
    let solution = solver.solve(inner.matrix(x)?.as_ref(), gradient)?;
    if solution.x.largest()? == 0.0 {
        return Ok(gradient.clone().neg());
    }
    Ok(solution.x.neg())
}

/// The first point x + direction/2ᵏ at which the loss has fallen enough, with value and gradient.
#[allow(clippy::type_complexity)]
fn halved<B: AutodiffBackend>(
    inner: &impl Inner<B>,
    (x, value): (&ParamVector<B>, f64),
    (direction, slope): (&ParamVector<B>, f64),
) -> Result<Option<(ParamVector<B>, f64, ParamVector<B>)>, Error> {
    // Near the minimum the decrease is less than the rounding in the loss.
    let rounding = 4.0 * x.precision().epsilon() * value.abs();
    let mut factor = 1.0;
    for _ in 0..HALVINGS {
        let next = x.clone().axpy(factor, direction)?;
        match inner.slope(&next) {
            Ok((found, gradient)) if found <= value + DECREASE * factor * slope + rounding => {
                return Ok(Some((next, found, gradient)));
            }
            Err(error) if !is_not_finite(&error) => return Err(error),
            _ => factor *= 0.5,
        }
    }
    Ok(None)
}

impl<B: AutodiffBackend> Inner<B> for HyperObjective<B> {
    fn slope(&self, at: &ParamVector<B>) -> Result<(f64, ParamVector<B>), Error> {
        let found = self.at_keeping_buffers(at)?.gradient()?;
        Ok((found.value, found.model))
    }

    fn matrix(&self, at: &ParamVector<B>) -> Result<Box<dyn SelfAdjoint<B>>, Error> {
        let there = self.at_keeping_buffers(at)?;
        Ok(Box::new(InnerMatrix::new(&there, InnerCurvature::Hessian)?))
    }
}
