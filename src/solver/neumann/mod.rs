//! Neumann series: the public face. The iteration is in `run`, the choice of its scale in `scale`.

mod config;
mod run;
mod scale;
mod trend;

pub use config::{NeumannConfig, NeumannScale};

use burn_backend::AutodiffBackend;

use crate::{error::Error, operator::SelfAdjoint, space::ParamVector};

use super::{LinearSolver, Solution, SolveOptions, system::System};

/// The Neumann series for A x = b, with or without a preconditioner.
///
/// ```text
/// x = Σᵢ (I − sA)ⁱ s b        xₖ₊₁ = xₖ + s M⁻¹(b − A xₖ)
/// ```
///
/// k iterations from x = 0 are the first k terms; they are also k steps of gradient descent with rate s on ½ xᵀA x − bᵀx.
/// The series converges if every eigenvalue of sA (of sM⁻¹A) lies between 0 and 2, and the error falls by ‖I − sA‖ per
/// term:
/// ```text
/// ‖xₖ − A⁻¹b‖ ≤ ‖I − sA‖ᵏ ‖A⁻¹b‖        about κ terms for s = 1/λmax
/// ```
/// where conjugate gradients need about √κ. The series is meant for truncated inverses, as used in implicit differentiation.
///
/// # Cost
/// One product with A per term; if no scale is given, a few dozen products to estimate λmax. Every iteration computes
/// the true residual from x. One transfer per iteration.
///
/// # Requirements
/// A self-adjoint and positive definite. An A with a negative eigenvalue makes the series diverge for any scale: the
/// solve stops with [`StopReason::NegativeCurvature`](crate::StopReason::NegativeCurvature) and the direction, found by the
/// estimate before the first term or as soon as the residual shows it. A scale that is too large stops with
/// [`StopReason::Diverged`](crate::StopReason::Diverged) as soon as the residual grows; the report names λmax and a scale
/// that converges. Both return the best x so far.
///
/// # Errors
/// [`SolverError::NoScale`](crate::errors::SolverError::NoScale) if A is zero;
/// [`SolverError::Overflow`](crate::errors::SolverError::Overflow) for [`NeumannConfig::all_terms`] of a series that grows without end;
/// [`SolverError::Preconditioner`](crate::errors::SolverError::Preconditioner) for one that is not positive definite; those of every
/// solver.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearSolver, NeumannConfig, ParamSpace, StopReason, operator::Diagonal, solver::NeumannScale};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(3)?;
/// let a = space.vector(&[1.0, 2.0, 4.0])?;
/// let (operator, b) = (Diagonal::new(a.clone())?, space.ones());
/// let solution = NeumannConfig::new().init()?.solve(&operator, &b)?;
/// assert_eq!(solution.report.stop, StopReason::Converged);
///
/// let unscaled = NeumannConfig::new().with_scale(NeumannScale::Fixed(1.0)).init()?;
/// let report = unscaled.solve(&operator, &b)?.report;
/// assert_eq!(report.stop, StopReason::Diverged);
/// assert!(report.advice().contains("take a scale of 2.500e-1")); // 1/λmax
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Golub & Van Loan, Matrix Computations, 4th edition, section 11.2 (stationary iterations). Lorraine, Vicol & Duvenaud
/// (2020), Optimizing millions of hyperparameters by implicit differentiation, section 4.
#[derive(Debug, Clone, PartialEq)]
pub struct Neumann {
    config: NeumannConfig,
}

impl Neumann {
    /// The configuration.
    pub fn config(&self) -> &NeumannConfig {
        &self.config
    }
}

/// Several b share one estimate of λmax. It is counted in the first report that needs it.
impl<B: AutodiffBackend> LinearSolver<B> for Neumann {
    #[inline(never)]
    fn solve_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &ParamVector<B>,
        options: SolveOptions<'_, B>,
    ) -> Result<Solution<B>, Error> {
        run::solve(&self.config, &System::with_unit_of_rhs(operator, rhs)?, options, None)
    }

    #[inline(never)]
    fn solve_many_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &[ParamVector<B>],
        preconditioner: Option<&dyn SelfAdjoint<B>>,
    ) -> Result<Vec<Solution<B>>, Error> {
        let mut known = None;
        let solutions = rhs.iter().map(|rhs| {
            let system = System::with_unit_of_rhs(operator, rhs)?;
            let options = SolveOptions::preconditioned(preconditioner);
            let solution = run::solve(&self.config, &system, options, known)?;
            known = known.or(solution.report.spectrum);
            Ok(solution)
        });
        solutions.collect()
    }
}
