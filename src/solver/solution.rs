//! What every solver returns, and the trait of solvers.

use burn_backend::AutodiffBackend;

use crate::{error::Error, operator::SelfAdjoint, space::ParamVector, tensor::DefaultBackend};

use super::{SolveOptions, SolveReport};

/// x, and how far to trust it.
#[derive(Debug, Clone)]
pub struct Solution<B: AutodiffBackend = DefaultBackend> {
    /// The approximate solution.
    pub x: ParamVector<B>,
    /// Why the solver stopped and how large the residual is.
    pub report: SolveReport,
    /// The first direction of negative curvature met, if any: a search direction of conjugate gradients, a
    /// Lanczos vector of MINRES. Factorizations meet none; their eigenvalues are in the report.
    pub negative_curvature: Option<NegativeCurvature<B>>,
}

/// A direction along which A is negative, which proves that A is not positive definite.
#[derive(Debug, Clone)]
pub struct NegativeCurvature<B: AutodiffBackend = DefaultBackend> {
    /// The direction p.
    pub direction: ParamVector<B>,
    /// pᵀAp / pᵀp, an upper bound on the smallest eigenvalue.
    pub curvature: f64,
}

/// A method for A x = b with a self-adjoint A.
///
/// A solver holds its configuration and no state of a solve, so that it can be shared. [`solve_with`](Self::solve_with) is
/// the only method that an implementation must provide.
pub trait LinearSolver<B: AutodiffBackend = DefaultBackend> {
    /// Solves A x = b.
    ///
    /// # Errors
    /// As [`solve_with`](Self::solve_with).
    fn solve(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &ParamVector<B>,
    ) -> Result<Solution<B>, Error> {
        self.solve_with(operator, rhs, SolveOptions::new())
    }

    /// Solves A x = b from an initial guess, with a preconditioner or under observation.
    ///
    /// # Errors
    /// A broken contract: layouts, precisions or devices that differ, NaN or infinity in b or in a product. Not reaching
    /// the tolerance is not an error but a [`StopReason`](crate::StopReason).
    fn solve_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &ParamVector<B>,
        options: SolveOptions<'_, B>,
    ) -> Result<Solution<B>, Error>;

    /// Solves A x = b for several b.
    ///
    /// # Errors
    /// As [`solve_with`](Self::solve_with), for the first system that fails.
    fn solve_many(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &[ParamVector<B>],
    ) -> Result<Vec<Solution<B>>, Error> {
        self.solve_many_with(operator, rhs, None)
    }

    /// Solves A x = b for several b, with a preconditioner if there is one: one after the other, unless the method can
    /// share work between them.
    ///
    /// # Errors
    /// As [`solve_with`](Self::solve_with), for the first system that fails.
    fn solve_many_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &[ParamVector<B>],
        preconditioner: Option<&dyn SelfAdjoint<B>>,
    ) -> Result<Vec<Solution<B>>, Error> {
        let solve =
            |rhs| self.solve_with(operator, rhs, SolveOptions::preconditioned(preconditioner));
        rhs.iter().map(solve).collect()
    }
}
