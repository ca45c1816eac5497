//! h = ℒ + η/2 ‖θ‖² around the parameters of a step. Depends on objectives; independent of optimizers.

use std::cell::Cell;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    objective::{Objective, ValueAndGradient, is_not_finite},
    space::ParamVector,
};

/// h is known up to this many units of rounding: sums over many samples lose more than the last digit.
const ROUNDINGS: f64 = 256.0;

/// θ with h, ∇h and the objective of the curvature.
pub(super) struct Point<'a, B: AutodiffBackend> {
    objective: &'a Objective<B>,
    /// At the same parameters, possibly on other batches.
    pub curvature: &'a Objective<B>,
    /// η
    pub decay: f64,
    pub value: f64,
    pub gradient: ParamVector<B>,
    /// ‖∇h‖
    pub norm: f64,
    evaluations: Cell<usize>,
    gradients: Cell<usize>,
}

impl<'a, B: AutodiffBackend> Point<'a, B> {
    /// At the parameters of an objective. Costs one gradient.
    pub fn new(
        objective: &'a Objective<B>,
        curvature: &'a Objective<B>,
        decay: f64,
    ) -> Result<Self, Error> {
        Self::with_gradient(objective, curvature, decay, objective.value_and_gradient()?)
    }

    /// The same where ℒ and ∇ℒ are known.
    pub fn with_gradient(
        objective: &'a Objective<B>,
        curvature: &'a Objective<B>,
        decay: f64,
        at: ValueAndGradient<B>,
    ) -> Result<Self, Error> {
        let parameters = objective.parameters();
        let (mut value, mut gradient) = (at.value, at.gradient);
        if decay > 0.0 {
            value += 0.5 * decay * parameters.dot(parameters)?;
            gradient = gradient.axpy(decay, parameters)?;
        }
        let norm = gradient.norm()?;
        if !norm.is_finite() {
            gradient.expect_finite("the gradient")?;
        }
        let (evaluations, gradients) = (Cell::new(0), Cell::new(1));
        Ok(Self { objective, curvature, decay, value, gradient, norm, evaluations, gradients })
    }

    pub fn parameters(&self) -> &ParamVector<B> {
        self.objective.parameters()
    }

    /// h(θ) in the mode of the objective, if the gradient is from another mode.
    pub fn evaluated(&self) -> Result<f64, Error> {
        let parameters = self.parameters();
        Ok(self.objective.value()? + 0.5 * self.decay * parameters.dot(parameters)?)
    }

    /// h(θ + factor·δ); `None` if it is not finite.
    pub fn value_at(&self, factor: f64, delta: &ParamVector<B>) -> Result<Option<f64>, Error> {
        self.evaluations.set(self.evaluations.get() + 1);
        let (objective, decay) = self.moved(factor, delta)?;
        match objective.value() {
            Ok(value) => Ok(Some(value + decay).filter(|value| value.is_finite())),
            Err(error) if is_not_finite(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// ‖∇h(θ + factor·δ)‖; `None` if it is not finite.
    pub fn norm_at(&self, factor: f64, delta: &ParamVector<B>) -> Result<Option<f64>, Error> {
        self.gradients.set(self.gradients.get() + 1);
        let (objective, _) = self.moved(factor, delta)?;
        let gradient = match objective.gradient() {
            Ok(gradient) => gradient,
            Err(error) if is_not_finite(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let norm = gradient.axpy(self.decay, objective.parameters())?.norm()?;
        Ok(Some(norm).filter(|norm| norm.is_finite()))
    }

    /// Differences of h below this are rounding.
    pub fn rounding(&self) -> f64 {
        ROUNDINGS * self.gradient.precision().epsilon() * self.value.abs()
    }

    /// Passes so far: values of h, gradients.
    pub fn passes(&self) -> (usize, usize) {
        (self.evaluations.get(), self.gradients.get())
    }

    fn moved(&self, factor: f64, delta: &ParamVector<B>) -> Result<(Objective<B>, f64), Error> {
        let parameters = self.parameters().clone().axpy(factor, delta)?;
        let decay = 0.5 * self.decay * parameters.dot(&parameters)?;
        Ok((self.objective.at_keeping_buffers(&parameters)?, decay))
    }
}
