//! How fast a solve converges, from what its observer sees.

use std::{collections::VecDeque, fmt};

use burn_backend::AutodiffBackend;

use super::Iteration;

/// Steps that the rate is taken over.
const WINDOW: usize = 10;

/// Residual and rate of an iterative solve as it runs, for a line of progress.
///
/// ```text
/// rate = (‖r_k‖ / ‖r_{k−w}‖)^(1/w)        steps left = ln(tolerance / (‖r_k‖/‖b‖)) / ln rate        w ≤ 10
/// ```
///
/// The rate is the factor by which a step has recently reduced the residual: 0.5 halves it; at 1 or more the solve does not
/// converge. The number of steps left is an extrapolation: conjugate gradients become faster once the largest eigenvalues are
/// found, and stop getting better at the rounding of the precision. A step of [`Lissa`](super::Lissa) is a repeat of its series,
/// whose residuals do not fall to a tolerance.
///
/// # Example
/// A Neumann series with a step of ¼ on A = 2I halves the residual in every step.
///
/// ```
/// use burn_curvature::{
///     LinearSolver, NeumannConfig, ParamSpace, SolveOptions, operator::Diagonal, solver::{Convergence, NeumannScale},
/// };
///
/// let space: ParamSpace = ParamSpace::flat(3)?;
/// let a = Diagonal::new(space.full(2.0))?;
/// let solver = NeumannConfig::new().with_scale(NeumannScale::Fixed(0.25)).with_relative_tolerance(0.1).init()?;
///
/// let mut convergence = Convergence::new();
/// let mut observer = |iteration: &burn_curvature::solver::Iteration<'_>| convergence.observe(iteration);
/// solver.solve_with(&a, &space.ones(), SolveOptions::new().with_observer(&mut observer))?;
/// assert_eq!(convergence.iterations(), 4); // to 1/16
/// assert_eq!(convergence.to_string(), "step 4, residual 6.25e-2, times 0.500 per step");
/// assert_eq!(convergence.steps_left(1e-3), Some(6)); // 2⁻¹⁰ is the first below
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Convergence {
    iterations: usize,
    /// ‖r‖ / ‖b‖, the last one at the end.
    residuals: VecDeque<f64>,
}

impl Convergence {
    /// No step yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next iteration. One that is not later than the last belongs to another solve, and starts again.
    pub fn observe<B: AutodiffBackend>(&mut self, iteration: &Iteration<'_, B>) {
        if iteration.index <= self.iterations {
            self.residuals.clear();
        }
        if self.residuals.len() > WINDOW {
            self.residuals.pop_front();
        }
        self.residuals.push_back(iteration.relative_residual);
        self.iterations = iteration.index;
    }

    /// Number of the last iteration; 0 before the first.
    pub fn iterations(&self) -> usize {
        self.iterations
    }

    /// ‖r‖ / ‖b‖ of the last iteration.
    pub fn relative_residual(&self) -> Option<f64> {
        self.residuals.back().copied()
    }

    /// The factor by which each of the last steps, ten at most, shortened the residual, as their geometric mean; from the
    /// second iteration on. `None` where a residual is not finite, or was 0 before.
    pub fn rate(&self) -> Option<f64> {
        let (first, last) = (self.residuals.front()?, self.residuals.back()?);
        let steps = self.residuals.len() - 1;
        let rate = (last / first).powf(1.0 / steps as f64);
        (steps > 0 && rate.is_finite()).then_some(rate)
    }

    /// Further steps to ‖r‖ ≤ tolerance · ‖b‖ at this rate; `None` if it does not lead there, or is not known yet.
    pub fn steps_left(&self, tolerance: f64) -> Option<usize> {
        let residual = self.relative_residual()?;
        if residual <= tolerance {
            return Some(0);
        }
        let steps = (tolerance / residual).ln() / self.rate()?.ln();
        // A rate of 1 or more gives no positive number, a tolerance of 0 none that is finite.
        (steps > 0.0 && steps.is_finite()).then(|| steps.ceil() as usize)
    }
}

impl fmt::Display for Convergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(residual) = self.relative_residual() else { return f.write_str("no step yet") };
        write!(f, "step {}, residual {residual:.2e}", self.iterations)?;
        self.rate().map_or(Ok(()), |rate| write!(f, ", times {rate:.3} per step"))
    }
}
