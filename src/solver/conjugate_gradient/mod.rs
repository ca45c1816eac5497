//! Conjugate gradients: the public face. The iteration is in `run`.

mod config;
mod guard;
mod many;
mod region;
mod run;
mod trial;

pub use config::{ConjugateGradientConfig, OnNegativeCurvature};

use burn_backend::AutodiffBackend;

use crate::{error::Error, operator::SelfAdjoint, space::ParamVector};

use super::{LinearSolver, Solution, SolveOptions, system::System};

/// Conjugate gradients for A x = b, after Hestenes and Stiefel, with or without a preconditioner.
///
/// ```text
/// r = b − A x,  z = M⁻¹ r,  p = z
/// repeat   α = rᵀz / pᵀA p
///          x ← x + α p
///          r ← r − α A p
///          z = M⁻¹ r
///          β = rᵀz (new) / rᵀz (old)
///          p ← z + β p
/// ```
///
/// # Cost
/// One product with A per iteration, one more every `residual_replacement` iterations and one or two at the end. Memory:
/// four vectors (five with a preconditioner), and all residuals with `reorthogonalization`. The coefficients stay on the
/// device; one transfer of a few scalars per iteration brings them to the host, which decides whether to go on.
///
/// # Requirements
/// A self-adjoint and positive definite. If it is not, the iteration sooner or later meets pᵀA p < 0, stops with
/// [`StopReason::NegativeCurvature`](crate::StopReason::NegativeCurvature) *before* it takes the step, and returns p.
///
/// # In a trust region
/// With `trust_radius` the iteration stops on the boundary ‖x‖ = radius (Steihaug; Toint), since the norms of the
/// iterates never shrink. If a step would leave the region, or pᵀA p ≤ 0, the result is the point x + τ p on the
/// boundary, and the reason is [`StopReason::TrustRegion`](crate::StopReason::TrustRegion). In the second case the
/// direction is in [`Solution::negative_curvature`]. If A is positive definite, x achieves at least half of the
/// decrease of ½ xᵀA x − bᵀx that is possible in the region.
///
/// # Several right-hand sides
/// [`solve_many`](LinearSolver::solve_many) runs all systems in lockstep, with one
/// [`apply_many`](crate::LinearOperator::apply_many) and one transfer per iteration for those that have not stopped. Each
/// system stops on its own, with the same result as alone if the operator returns the same products.
///
/// # Errors
/// Layouts, precisions or devices that differ; NaN or infinity in b, in the initial guess or in a product
/// ([`VectorError::NonFinite`](crate::errors::VectorError::NonFinite)); an x that leaves the range of the number format
/// ([`SolverError::SolutionRange`](crate::errors::SolverError::SolutionRange)); a preconditioner that is not positive
/// definite ([`SolverError::Preconditioner`](crate::errors::SolverError::Preconditioner)); an initial guess together with a trust
/// radius ([`SolverError::OptionRefused`](crate::errors::SolverError::OptionRefused)).
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ConjugateGradientConfig, LinearSolver, ParamSpace, StopReason, operator::Diagonal};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(3)?;
/// let a = space.vector(&[1.0, 2.0, 4.0])?;
/// let b = space.ones();
/// let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-12).init()?;
/// let solution = solver.solve(&Diagonal::new(a)?, &b)?;
/// assert_eq!(solution.report.stop, StopReason::Converged);
/// assert_eq!(solution.report.iterations, 3); // as many as there are different eigenvalues
/// let x = solution.x.to_vec()?;
/// assert!((x[2] - 0.25).abs() < 1e-12);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Hestenes & Stiefel, Methods of conjugate gradients for solving linear systems, 1952, section 3. Shewchuk, An
/// introduction to the conjugate gradient method without the agonizing pain, 1994, appendix B (residual replacement,
/// preconditioning). Golub & Van Loan, Matrix Computations, section 11.3 (Ritz values). Martens, Deep learning via
/// Hessian-free optimization, 2010, section 4.4 (`relative_progress`). Steihaug, The conjugate gradient method and trust
/// regions in large scale optimization, 1983; Conn, Gould & Toint, Trust-region methods, 2000, section 7.5.1; Yuan, On the
/// truncated conjugate gradient method, 2000 (half of the decrease).
#[derive(Debug, Clone, PartialEq)]
pub struct ConjugateGradient {
    config: ConjugateGradientConfig,
}

impl ConjugateGradient {
    /// The configuration.
    pub fn config(&self) -> &ConjugateGradientConfig {
        &self.config
    }
}

impl<B: AutodiffBackend> LinearSolver<B> for ConjugateGradient {
    #[inline(never)]
    fn solve_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &ParamVector<B>,
        options: SolveOptions<'_, B>,
    ) -> Result<Solution<B>, Error> {
        run::solve(&self.config, &System::with_units(operator, rhs)?, options)
    }

    #[inline(never)]
    fn solve_many_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &[ParamVector<B>],
        preconditioner: Option<&dyn SelfAdjoint<B>>,
    ) -> Result<Vec<Solution<B>>, Error> {
        many::solve_many(&self.config, operator, rhs, preconditioner)
    }
}
