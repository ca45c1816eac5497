//! Why and when an iteration stops.

use std::collections::VecDeque;

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use crate::{error::Error, space::ParamVector};

/// Why a solver stopped. Its `Display` is a sentence with what to try next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// The true residual is below the tolerance.
    #[error("The residual is below the tolerance: nothing needs to be done.")]
    Converged,
    /// A factorization solved the system: the residual is that of rounding, and at most a hundredth of ‖b‖.
    #[error("A factorization solved the system to working precision: nothing needs to be done.")]
    Solved,
    /// The limit on iterations is reached.
    #[error(
        "The iterations ran out before the residual reached the tolerance: raise `max_iterations`, add damping, or give a \
         preconditioner."
    )]
    IterationLimit,
    /// A direction with pᵀAp < 0 was met.
    #[error(
        "A is not positive definite, as the direction of negative curvature in the solution shows: add damping above its \
         size, use the Gauss-Newton in place of the Hessian, or a solver for indefinite systems: `Minres` or `Direct`."
    )]
    NegativeCurvature,
    /// The path of the iterates left the trust region, or met negative curvature in it; x is on its boundary.
    #[error(
        "x is on the boundary of the trust region, where the path to the solution leaves it or meets negative curvature: \
         take the step, and widen the region if it went as predicted."
    )]
    TrustRegion,
    /// The curvature along the search direction is zero to working precision.
    #[error(
        "The curvature along the search direction vanished, so A is singular to working precision: add damping, or use \
         `Direct`, which names the singular directions."
    )]
    Breakdown,
    /// The residual has stopped falling, or that of a direct method is larger than rounding explains, or above a hundredth of
    /// ‖b‖.
    #[error(
        "The residual stopped falling above the tolerance, which is the most this precision gives: solve in f64, add \
         damping, or ask for a larger tolerance."
    )]
    Stagnation,
    /// The quadratic objective has stopped falling (Martens' rule).
    #[error(
        "The quadratic objective hardly falls any more, which is where the rule for truncated solves stops: lower \
         `relative_progress` for a more exact solution."
    )]
    RelativeProgress,
    /// b is outside the range of a singular A; x is a least-squares solution.
    #[error(
        "A is singular, to rounding or to the cut that was asked for, and b has a part outside its range, so x is the \
         least-squares solution, the shortest one if the start was 0 and there is no preconditioner: add damping if this \
         part of b must not be left out, or solve in f64 if A is not meant to be singular."
    )]
    LeastSquares,
    /// The matrix is singular; x is the shortest least-squares solution.
    #[error(
        "A is singular below the stated cut, so x is the shortest least-squares solution: add damping if one direction \
         must not be left out."
    )]
    Singular,
    /// The residual grows: the scale is too large for A.
    #[error(
        "The series diverges, since the scale times the largest eigenvalue exceeds 2: lower the scale, or let the solver \
         choose it."
    )]
    Diverged,
    /// The planned number of random steps has been taken.
    #[error(
        "The planned steps have been taken: if the standard error is too large raise `repeats`, and if the residual is much \
         larger than it explains raise `depth`."
    )]
    Sampled,
    /// The planned number of random steps has been taken, but is too small for the influence of the start to vanish.
    #[error(
        "The planned steps have been taken but are too few to reach the solution: raise `depth`, lower the scale if the terms \
         allow it, or add damping."
    )]
    UnderConverged,
    /// x is exact only for an approximation of A.
    #[error(
        "x solves the system with an approximation of A, so the residual stays where it is: raise the rank or the damping, or \
         use the approximation as a preconditioner of conjugate gradients."
    )]
    Approximated,
}

impl StopReason {
    /// Whether the solve reached its goal: the solution to its tolerance, or, for a method without a tolerance, the result
    /// of its planned steps.
    pub fn is_success(self) -> bool {
        matches!(self, StopReason::Converged | StopReason::Solved | StopReason::Sampled)
    }

    /// The reason of a direct method, which has no tolerance. The residual must be explained by rounding. With one above a
    /// hundredth of b, A is so ill-conditioned in this precision that the system is not solved even so.
    pub(super) fn of_direct((rhs_norm, residual): (f64, f64), rounding: f64) -> Self {
        if residual <= rounding.min(SOLVED * rhs_norm) {
            StopReason::Solved
        } else {
            StopReason::Stagnation
        }
    }
}

/// The largest relative residual of a system that is solved by a direct method: that of a condition number of about 10⁵ in f32.
pub(super) const SOLVED: f64 = 1e-2;

/// Units in the last place of ‖A‖‖x‖ that the roundings of x and in the product A x may come to: one in Hessians of small
/// networks, and sums over many samples lose several.
const ULPS: f64 = 64.0;

/// The residual that rounding leaves at most of a solution x, from ‖A‖. A larger one shows that the products are not those of the
/// matrix that was factorized.
pub(super) fn rounding<B: AutodiffBackend>(
    operator_norm: f64,
    x: &ParamVector<B>,
    rhs_norm: f64,
) -> Result<f64, Error> {
    Ok(ULPS * x.precision().epsilon() * (operator_norm * x.norm()? + rhs_norm))
}

/// Notices that the residual has not fallen for a number of iterations.
pub(super) struct StagnationWatch {
    window: Option<usize>,
    best: f64,
    since: usize,
}

impl StagnationWatch {
    /// A fall by less than a hundredth does not count.
    const FALL: f64 = 0.99;

    pub(super) fn new(window: Option<usize>, residual: f64) -> Self {
        Self { window, best: residual, since: 0 }
    }

    /// Takes the next residual; true if it has not fallen over the last `window`.
    pub(super) fn stagnates(&mut self, residual: f64) -> bool {
        if residual < Self::FALL * self.best {
            self.best = residual;
            self.since = 0;
            return false;
        }
        self.since += 1;
        self.window.is_some_and(|window| self.since >= window)
    }
}

/// Martens' rule for truncated solves: stop at iteration i > k if φᵢ < 0 and (φᵢ − φᵢ₋ₖ)/φᵢ < kε with
/// k = max(10, i/10), where φ(x) = ½ xᵀA x − bᵀx (Martens 2010, section 4.4).
pub(super) struct ProgressRule {
    epsilon: Option<f64>,
    /// φ₀, φ₁, … as far back as the rule looks.
    history: VecDeque<f64>,
    iteration: usize,
}

impl ProgressRule {
    pub(super) fn new(epsilon: Option<f64>, initial: f64) -> Self {
        Self { epsilon, history: VecDeque::from([initial]), iteration: 0 }
    }

    /// Takes the next φ; true if the rule stops.
    pub(super) fn stops(&mut self, value: f64) -> bool {
        let Some(epsilon) = self.epsilon else {
            return false;
        };
        self.iteration += 1;
        self.history.push_back(value);
        let back = (self.iteration / 10).max(10);
        while self.history.len() > back + 1 {
            self.history.pop_front();
        }
        match self.history.front() {
            Some(earlier) if self.history.len() == back + 1 => {
                self.iteration > back
                    && value < 0.0
                    && (value - earlier) / value < back as f64 * epsilon
            }
            _ => false,
        }
    }
}
