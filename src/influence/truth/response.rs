//! The minimum of a proximal Bregman objective, by Newton steps with the Gauss-Newton matrix.

use burn_backend::AutodiffBackend;

use super::{BregmanObjective, ProximalBregmanConfig, TruthError};
use crate::{
    error::Error,
    objective::{ValueAndGradient, is_not_finite},
    operator::SelfAdjoint,
    solver::{LinearSolver, StopReason},
    space::ParamVector,
    tensor::DefaultBackend,
};

/// Least decrease of a step, as a share of what the gradient promises (Armijo's rule).
const SUFFICIENT: f64 = 1e-4;
/// Largest number of halvings of a step.
const HALVINGS: usize = 30;

/// Parameters with the objective and its gradient there.
type Point<B> = (ParamVector<B>, ValueAndGradient<B>);

/// The parameters that the proximal Bregman response function gives.
#[derive(Clone, Debug)]
pub struct Response<B: AutodiffBackend = DefaultBackend> {
    /// The minimum θ.
    pub parameters: ParamVector<B>,
    /// Newton steps taken.
    pub steps: usize,
    /// ‖∇‖ at the minimum, relative to that at the start.
    pub remaining: f64,
}

impl<B: AutodiffBackend> BregmanObjective<B> {
    /// The minimum, from θₛ.
    ///
    /// # Cost
    /// A few Newton steps, each a truncated solve with conjugate gradients.
    ///
    /// # Errors
    /// [`TruthError::NoResponse`]; those of the solver.
    pub fn minimize(&self) -> Result<Response<B>, Error> {
        let ProximalBregmanConfig { relative_tolerance, max_steps, .. } = *self.config();
        let mut theta = self.start().clone();
        let mut at = self.value_and_gradient(&theta)?;
        let first = at.gradient.norm()?;
        let (mut norm, mut steps) = (first, 0);
        let mut stop = StopReason::IterationLimit;
        while norm > relative_tolerance * first && steps < max_steps {
            let Some((next, found)) = self.step(&theta, &at)? else {
                stop = StopReason::Stagnation;
                break;
            };
            (theta, at, steps) = (next, found, steps + 1);
            norm = at.gradient.norm()?;
        }
        let remaining = if first > 0.0 { norm / first } else { 0.0 };
        if remaining > relative_tolerance {
            let expected = relative_tolerance;
            return Err(TruthError::NoResponse { steps, remaining, expected, stop }.into());
        }
        Ok(Response { parameters: theta, steps, remaining })
    }

    /// A Newton step, halved until it descends; `None` if it does not. One that overflows does not.
    fn step(
        &self,
        theta: &ParamVector<B>,
        at: &ValueAndGradient<B>,
    ) -> Result<Option<Point<B>>, Error> {
        let matrix = self.curvature(theta)?;
        let solver = self.config().solver.init()?;
        let direction = solver.solve(&matrix as &dyn SelfAdjoint<B>, &at.gradient)?.x;
        let slope = at.gradient.dot(&direction)?;
        let norm = at.gradient.norm()?;
        let mut length = 1.0;
        for _ in 0..HALVINGS {
            let next = theta.clone().axpy(-length, &direction)?;
            let found = match self.value_and_gradient(&next) {
                Err(error) if is_not_finite(&error) => {
                    length /= 2.0;
                    continue;
                }
                found => found?,
            };
            let descends = found.value <= at.value - SUFFICIENT * length * slope;
            // Close to the minimum the decrease is lost in rounding, but the gradient still shows progress.
            if descends || found.gradient.norm()? <= 0.5 * norm {
                return Ok(Some((next, found)));
            }
            length /= 2.0;
        }
        Ok(None)
    }
}
