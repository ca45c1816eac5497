//! The minimum residual method: the public face. The iteration is in `run`.

mod config;
mod estimate;
mod lanczos;
mod least_squares;
mod rotation;
mod run;

pub use config::MinresConfig;

use burn_backend::AutodiffBackend;

use crate::{error::Error, operator::SelfAdjoint, space::ParamVector};

use super::{LinearSolver, Solution, SolveOptions, system::System};

/// MINRES for A x = b with a symmetric A, definite or not, singular ones included, after Paige and Saunders.
///
/// ```text
/// β₁u₁ = r₀ = b − A x₀,  v = M⁻¹u,  uⱼᵀvⱼ = 1
/// repeat   βₖ₊₁uₖ₊₁ = A vₖ − αₖuₖ − βₖuₖ₋₁             (Lanczos; αₖ = vₖᵀA vₖ)
///          column k of the tridiagonal T̄ → (εₖ, δₖ, γₖ)  (QR factorization by reflections)
///          wₖ = (vₖ − δₖwₖ₋₁ − εₖwₖ₋₂) / γₖ
///          x ← x + φₖ wₖ
/// ```
/// Of all x in the Krylov space it finds the one with the smallest ‖b − A x‖ (in the norm of M⁻¹ with a preconditioner),
/// so that the residual never rises, whatever the signs of the eigenvalues.
///
/// # Singular systems
/// With b in the range of A it converges as usual, and from x₀ = 0 without a preconditioner x is A⁺b, the shortest of
/// all solutions. With b outside the range the residual cannot reach 0; A r falls instead. Rounding turns a zero
/// eigenvalue into one of about ε‖A‖, so A r falls to about √ε ‖A‖ ‖r‖ and then rises again, while x drifts along the
/// null space. The iteration keeps the x with the smallest A r, and when the smallest singular value of T̄ falls below
/// `singular_below`·‖A‖ it returns to that x and stops with
/// [`StopReason::LeastSquares`](crate::StopReason::LeastSquares). In exact arithmetic the null-space part of this x is
/// a multiple of n, the null-space part of r. Without a preconditioner two more solves with right-hand sides in the
/// range separate n from the rest of r, and the answer is accurate to about κ²ε:
/// ```text
/// A w = A r,  A d = w,  n = r − w,  x ← x + d − (nᵀ(x + d − x₀) / nᵀn) n
/// ```
/// It is A⁺b from x₀ = 0, and x₀ + A⁺(b − A x₀), the least-squares solution closest to x₀, from elsewhere. With a
/// preconditioner n = M⁻¹r is used as it is, accurate to about κ√ε, and lengths are those of M: x minimizes ‖b − A x‖
/// in the norm of M⁻¹ and, from 0, ‖x‖ in the norm of M. An observer sees the iterates only, not this x.
///
/// # Cost
/// One product with A per iteration and one at the end; for a least-squares solution those of two more, shorter solves.
/// Seven vectors (ten with a preconditioner), and all Lanczos vectors with `reorthogonalization`. One transfer of a few
/// scalars per iteration.
///
/// # Requirements
/// A self-adjoint; M positive definite. Rounding costs up to 2·log₁₀ κ digits, where conjugate gradients lose log₁₀ κ;
/// `reorthogonalization` gets the difference back.
///
/// # Errors
/// Layouts, precisions or devices that differ; NaN or infinity in b, in the initial guess or in a product
/// ([`VectorError::NonFinite`](crate::errors::VectorError::NonFinite)); an x that leaves the range of the number format
/// ([`SolverError::SolutionRange`](crate::errors::SolverError::SolutionRange)); a preconditioner that is not positive
/// definite ([`SolverError::Preconditioner`](crate::errors::SolverError::Preconditioner)).
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearSolver, MinresConfig, ParamSpace, StopReason, operator::Diagonal};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(3)?;
/// let a = space.vector(&[1.0, -2.0, 0.0])?;
/// let solver = MinresConfig::new().with_relative_tolerance(1e-12).init()?;
/// let solution = solver.solve(&Diagonal::new(a.clone())?, &space.vector(&[3.0, 4.0, 0.0])?)?;
/// assert_eq!(solution.report.stop, StopReason::Converged); // b is in the range of this indefinite, singular A
/// let solution = solver.solve(&Diagonal::new(a.clone())?, &space.vector(&[3.0, 4.0, 5.0])?)?;
/// assert_eq!(solution.report.stop, StopReason::LeastSquares); // b is not
/// let x = solution.x.to_vec()?;
/// assert!(x.iter().zip([3.0, -2.0, 0.0]).all(|(x, truth)| (x - truth).abs() < 1e-12));
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Paige & Saunders, Solution of sparse indefinite systems of linear equations, 1975, section 6. Choi, Paige & Saunders,
/// MINRES-QLP: a Krylov subspace method for indefinite or singular symmetric systems, 2011, section 2 (the recurrences
/// and the test on A r). Liu, Milzarek & Roosta, Obtaining pseudo-inverse solutions with MINRES, 2023 (the step from x to
/// A⁺b). Sleijpen, van der Vorst & Modersitzki, Differences in the effects of rounding errors in Krylov solvers for
/// symmetric indefinite linear systems, 2000.
#[derive(Debug, Clone, PartialEq)]
pub struct Minres {
    config: MinresConfig,
}

impl Minres {
    /// The configuration.
    pub fn config(&self) -> &MinresConfig {
        &self.config
    }
}

impl<B: AutodiffBackend> LinearSolver<B> for Minres {
    #[inline(never)]
    fn solve_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &ParamVector<B>,
        options: SolveOptions<'_, B>,
    ) -> Result<Solution<B>, Error> {
        run::solve(&self.config, &System::with_units(operator, rhs)?, options)
    }
}
