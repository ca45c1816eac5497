//! The direct solver on the materialized operator: the public face. The factorizations are in `factor`.

mod config;
mod factor;

pub use config::{DirectConfig, DirectMethod};

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::{SelfAdjoint, materialize_up_to},
    space::{ParamSpace, ParamVector},
    tensor::Precision,
};

use super::{
    LinearSolver, Solution, SolveOptions, SolveReport, SolverError, StopReason,
    stopping::{SOLVED, rounding},
    system::System,
};
use factor::Factorization;

/// A direct solver: the matrix of A in f64 on the host, factorized.
///
/// ```text
/// positive definite   A = L Lᵀ     (Cholesky)
/// otherwise           A = U Λ Uᵀ   (eigendecomposition), x = U Λ⁺ Uᵀ b
/// ```
/// where Λ⁺ drops the eigenvalues below `singular_below` of the largest (n·ε by default), so that x is the shortest
/// least-squares solution of a singular system.
///
/// # Cost
/// n products with A, one per b and one per refinement, and n²·8 bytes; n³/3 multiply-adds for Cholesky, about 9 n³ for the eigendecomposition.
///
/// # Requirements
/// A self-adjoint. The products run in the precision of b, so a matrix of f32 products is no more accurate than f32; only
/// its factorization is in f64.
///
/// A residual larger than rounding explains, as of products that are not quite symmetric, is refined. What
/// remains above 64 units in the last place of ‖A‖‖x‖, or above a hundredth of ‖b‖, is reported as
/// [`StopReason::Stagnation`].
///
/// # Errors
/// [`OperatorError::TooLarge`](crate::errors::OperatorError::TooLarge) above `max_size` unknowns;
/// [`OperatorError::NotSymmetric`](crate::errors::OperatorError::NotSymmetric);
/// [`OperatorError::NonFiniteEntry`](crate::errors::OperatorError::NonFiniteEntry);
/// [`SolverError::Factorization`](crate::errors::SolverError::Factorization) if the factorization requested by name does
/// not exist, or the matrix is so close to singular that half of b is left; and those of every solver.
///
/// [`SolverError::OptionRefused`](crate::errors::SolverError::OptionRefused) for a preconditioner or an observer, which a
/// factorization cannot use.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{DirectConfig, LinearSolver, ParamSpace, operator::Diagonal, solver::Method};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(3)?;
/// let a = space.vector(&[1.0, -2.0, 4.0])?;
/// let solution = DirectConfig::new().init()?.solve(&Diagonal::new(a.clone())?, &space.ones())?;
/// assert_eq!(solution.report.method, Method::EigenDecomposition); // not positive definite
/// assert_eq!(solution.report.spectrum.and_then(|s| s.condition), Some(4.0));
/// let x = solution.x.to_vec()?;
/// assert!((x[1] + 0.5).abs() < 1e-14);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Golub & Van Loan, Matrix Computations, sections 4.2 (Cholesky), 4.4 (Bunch-Kaufman), 8.3 (symmetric eigenvalues).
#[derive(Debug, Clone, PartialEq)]
pub struct Direct {
    config: DirectConfig,
}

/// Largest number of refinements.
const REFINEMENTS: usize = 10;
/// By how much rounding usually stays below what it may come to.
const USUAL: f64 = 16.0;

/// The factorization of a matrix, once it is made, with the products that it took.
#[derive(Default)]
pub(crate) struct KeptFactorization(Option<(Factorization, usize)>);

impl KeptFactorization {
    /// Whether it is made.
    pub(crate) fn is_made(&self) -> bool {
        self.0.is_some()
    }
}

impl Direct {
    /// The most n×n matrices of f64 on the host at once while one is factorized, its own factors among them: the entries,
    /// their symmetric part, a Cholesky factor that is given up, and the eigenvectors with a copy and the workspace.
    pub(crate) const MATRICES: usize = 6;

    /// The configuration.
    pub fn config(&self) -> &DirectConfig {
        &self.config
    }

    /// The solutions of several systems with the factorization that is kept, or with one that is kept from now on: for
    /// further systems with the same matrix.
    pub(crate) fn solve_keeping<B: AutodiffBackend>(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &[ParamVector<B>],
        kept: &mut KeptFactorization,
    ) -> Result<Vec<Solution<B>>, Error> {
        let mut solutions = Vec::with_capacity(rhs.len());
        for rhs in rhs {
            let system = System::new(operator, rhs)?;
            let factorization = match &mut kept.0 {
                Some((factorization, products)) => {
                    system.count(*products);
                    factorization
                }
                None => {
                    let factorization = self.factorize(&system, self.config.method)?;
                    &mut kept.0.insert((factorization, system.applications())).0
                }
            };
            solutions.push(self.solved(&system, factorization, None)?);
        }
        Ok(solutions)
    }

    fn factorize<B: AutodiffBackend>(
        &self,
        system: &System<'_, B>,
        method: DirectMethod,
    ) -> Result<Factorization, Error> {
        let rhs = system.rhs();
        let matrix = materialize_up_to(system.operator(), self.config.max_size)?;
        matrix.expect_symmetric(self.config.symmetry_tolerance)?;
        let rounding = matrix.rows() as f64 * rhs.precision().epsilon();
        let cut = self.config.singular_below.unwrap_or(rounding);
        Factorization::new(&matrix.symmetrized()?, method, cut)
    }

    /// The solution by a factorization. If the method was left open, one that fails is replaced by the eigenvalues, which show
    /// what is singular.
    fn solved<B: AutodiffBackend>(
        &self,
        system: &System<'_, B>,
        factorization: &mut Factorization,
        guess: Option<ParamVector<B>>,
    ) -> Result<Solution<B>, Error> {
        match finish(system, factorization, guess.clone()) {
            Err(error)
                if self.config.method == DirectMethod::Automatic
                    && matches!(error.downcast_ref(), Some(SolverError::Factorization { .. })) =>
            {
                *factorization = self.factorize(system, DirectMethod::EigenDecomposition)?;
                finish(system, factorization, guess)
            }
            found => found,
        }
    }
}

/// An initial guess x₀ leads to x₀ + A⁻¹(b − A x₀): for a singular A the least-squares solution closest to x₀. Several b
/// share one factorization.
impl<B: AutodiffBackend> LinearSolver<B> for Direct {
    #[inline(never)]
    fn solve_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &ParamVector<B>,
        options: SolveOptions<'_, B>,
    ) -> Result<Solution<B>, Error> {
        options.expect_no_preconditioner("Direct")?;
        options.expect_no_observer("Direct")?;
        let system = System::new(operator, rhs)?;
        let guess = system.checked_guess(options.initial_guess)?;
        let mut factorization = self.factorize(&system, self.config.method)?;
        self.solved(&system, &mut factorization, guess)
    }

    #[inline(never)]
    fn solve_many_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &[ParamVector<B>],
        preconditioner: Option<&dyn SelfAdjoint<B>>,
    ) -> Result<Vec<Solution<B>>, Error> {
        SolveOptions::preconditioned(preconditioner).expect_no_preconditioner("Direct")?;
        self.solve_keeping(operator, rhs, &mut KeptFactorization::default())
    }
}

/// A solution, unless it leaves the range of the number format.
fn in_range<B: AutodiffBackend>(
    space: &ParamSpace<B>,
    solution: &[f64],
) -> Result<ParamVector<B>, Error> {
    let precision = space.precision();
    let largest = solution.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    if largest != 0.0 && !(precision.smallest_normal()..=precision.largest()).contains(&largest) {
        return Err(SolverError::SolutionRange { largest, precision }.into());
    }
    Ok(space.vector(solution)?)
}

/// Solves one system with the factorization of its matrix, and reports on it.
fn finish<B: AutodiffBackend>(
    system: &System<'_, B>,
    factorization: &Factorization,
    guess: Option<ParamVector<B>>,
) -> Result<Solution<B>, Error> {
    let rhs = system.rhs();
    rhs.expect_finite("the right-hand side b")?;
    let rhs_norm = rhs.norm()?;
    let x = match guess {
        Some(guess) if rhs_norm > 0.0 => {
            let (residual, _) = system.checked_residual(&guess)?;
            let correction = factorization.solve(&residual.to_vec()?)?;
            guess.add(&rhs.space().vector(&correction)?)?
        }
        _ => in_range(rhs.space(), &factorization.solve(&rhs.to_vec()?)?)?,
    };
    let (x, true_residual) = refined(system, factorization, x, rhs_norm)?;
    let allowed = match rhs.precision() {
        // The solution itself is rounded to this format.
        Precision::F32 => 0.5,
        Precision::F64 => SOLVED,
    };
    factorization.expect_solved(true_residual, allowed * rhs_norm)?;
    let singular = factorization.singular_directions() > 0;
    let norms = (rhs_norm, true_residual);
    let stop = if singular {
        StopReason::Singular
    } else {
        StopReason::of_direct(norms, rounding(factorization.norm(), &x, rhs_norm)?)
    };
    let report = SolveReport {
        spectrum: factorization.spectrum(),
        negative_curvature: factorization
            .negative_curvature(rhs.len() as f64 * rhs.precision().epsilon()),
        ..SolveReport::new(factorization.method(), stop, system, norms)
    };
    Ok(Solution { x, report, negative_curvature: None })
}

/// x + A⁻¹(b − A x), as long as the residual is larger than rounding usually is, and falls: where the products are those of a
/// matrix that is symmetric only up to the tolerance. Returns the residual norm too.
fn refined<B: AutodiffBackend>(
    system: &System<'_, B>,
    factorization: &Factorization,
    mut x: ParamVector<B>,
    rhs_norm: f64,
) -> Result<(ParamVector<B>, f64), Error> {
    let (mut r, mut residual) = system.checked_residual(&x)?;
    if factorization.singular_directions() > 0 {
        return Ok((x, residual)); // a least-squares solution
    }
    for _ in 0..REFINEMENTS {
        if residual <= rounding(factorization.norm(), &x, rhs_norm)? / USUAL {
            break;
        }
        let correction = factorization.solve(&r.to_vec()?);
        let Ok(correction) = correction.and_then(|found| in_range(x.space(), &found)) else {
            break;
        };
        let better = x.clone().add(&correction)?;
        let (better_r, better_residual) = system.checked_residual(&better)?;
        let falls = better_residual < residual;
        let halves = better_residual <= 0.5 * residual;
        if falls {
            (x, r, residual) = (better, better_r, better_residual);
        }
        if !halves {
            break;
        }
    }
    Ok((x, residual))
}
