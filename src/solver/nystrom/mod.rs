//! The Nyström approximation as a solver and as a preconditioner. The sketch is in `sketch`.

mod config;
mod sketch;

pub use config::NystromConfig;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::{LinearOperator, LowRank, SelfAdjoint, expect_square},
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

use super::{
    LinearSolver, Method, MethodDetail, Solution, SolveOptions, SolveReport, StopReason,
    system::System,
};
use sketch::{Sketch, sketch};

/// The randomized Nyström approximation of a positive semidefinite A, for (A + λI) x = b.
///
/// ```text
/// A ≈ Uᵀ Λ U                                        from products with a few random vectors
/// (A + λI)⁻¹ ≈ Uᵀ (Λ + λ)⁻¹ U + (I − UᵀU)/λ         as a solver: an approximation
/// P⁻¹ = (λₖ + λ) Uᵀ (Λ + λ)⁻¹ U + (I − UᵀU)         as a preconditioner: λₖ is the smallest eigenvalue kept
/// ```
///
/// The operator passed to every method here is A + λI, as for any other solver; `damping` in the configuration is its
/// λ. The approximation is good if the part of A beyond the rank is small compared with λ; if that part is larger, ‖x‖
/// is too large and the residual can exceed ‖b‖. As a solver it does a fixed amount of work and reports the true
/// residual. For an accurate solution, use it as a preconditioner of
/// [`ConjugateGradient`](crate::solver::ConjugateGradient): with a rank of about three times the effective dimension Σᵢ
/// λᵢ/(λᵢ + λ) the preconditioned condition number is below 28 on average.
///
/// # Cost
/// `rank` products with A at once (`apply_many`), 3·rank²·n multiply-adds and rank·n elements of memory; then 4·rank·n per
/// right-hand side, and one product for the true residual.
///
/// # Requirements
/// A self-adjoint and positive semidefinite.
///
/// # Errors
/// [`SolverError::Indefinite`](crate::errors::SolverError::Indefinite) if the sketch shows that A has a negative
/// eigenvalue (or that λ exceeds the damping in the operator);
/// [`SolverError::OptionRefused`](crate::errors::SolverError::OptionRefused) for a preconditioner or an observer;
/// [`OperatorError::ProductCount`](crate::errors::OperatorError::ProductCount); layouts, precisions or devices that differ; NaN or
/// infinity in b or in a product.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{
///     ConjugateGradientConfig, LinearOperator, LinearSolver, ParamSpace, SolveOptions, StopReason,
///     operator::Diagonal, solver::NystromConfig,
/// };
///
/// // Two large eigenvalues and many small ones.
/// let space = ParamSpace::<Autodiff<Flex>>::flat(50)?;
/// let mut eigenvalues = vec![1e-3; 50];
/// (eigenvalues[7], eigenvalues[30]) = (1e3, 20.0);
/// let a = space.vector(&eigenvalues)?;
/// let b = space.normal(1);
/// let damped = Diagonal::new(a)?.damped(0.1)?;
///
/// let nystrom = NystromConfig::new(6, 0.1).init()?;
/// let preconditioner = nystrom.approximate(&damped)?.preconditioner()?;
/// let options = SolveOptions::new().with_preconditioner(&preconditioner);
/// let solution = ConjugateGradientConfig::new().init()?.solve_with(&damped, &b, options)?;
/// assert_eq!(solution.report.stop, StopReason::Converged);
/// assert!(solution.report.spectrum.and_then(|s| s.condition).is_some_and(|condition| condition < 1.1));
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Frangella, Tropp & Udell (2023), Randomized Nyström preconditioning, algorithm 2.1, section 5 and theorem 5.1.
#[derive(Debug, Clone, PartialEq)]
pub struct Nystrom {
    config: NystromConfig,
}

impl Nystrom {
    /// The configuration.
    pub fn config(&self) -> &NystromConfig {
        &self.config
    }

    /// The approximation of A, from an operator that holds A + λI.
    ///
    /// # Errors
    /// See [`Nystrom`].
    pub fn approximate<B: AutodiffBackend>(
        &self,
        operator: &dyn SelfAdjoint<B>,
    ) -> Result<NystromApproximation<B>, Error> {
        expect_square(operator)?;
        let space = operator.domain().clone();
        let rank = self.config.rank.min(space.len());
        let damping = self.config.damping;
        let sketch = sketch(operator, (rank, damping), self.config.seed)?;
        Ok(NystromApproximation { sketch, space, damping, products: rank })
    }

    /// x = x₀ + (Â + λI)⁻¹(b − A x₀), and the true residual.
    fn solve_system<B: AutodiffBackend>(
        &self,
        system: &System<'_, B>,
        approximation: &NystromApproximation<B>,
        guess: Option<ParamVector<B>>,
    ) -> Result<Solution<B>, Error> {
        let rhs = system.rhs();
        rhs.expect_finite("the right-hand side b")?;
        let rhs_norm = rhs.norm()?;
        let inverse = approximation.inverse()?;
        let x = match system.checked_guess(guess)? {
            Some(guess) if rhs_norm > 0.0 => {
                let step = inverse.apply(&system.residual(&guess)?)?;
                guess.add(&step)?
            }
            _ => inverse.apply(rhs)?,
        };
        let (_, true_residual) = system.checked_residual(&x)?;
        let threshold = self.config.relative_tolerance * rhs_norm;
        let stop = if true_residual <= threshold {
            StopReason::Converged
        } else {
            StopReason::Approximated
        };
        let eigenvalues = approximation.eigenvalues();
        let detail = MethodDetail::Nystrom {
            rank: eigenvalues.len(),
            largest: eigenvalues.first().copied().unwrap_or(0.0),
            smallest: eigenvalues.last().copied().unwrap_or(0.0),
            damping: self.config.damping,
        };
        let report = SolveReport {
            threshold: Some(threshold),
            detail: Some(detail),
            ..SolveReport::new(Method::Nystrom, stop, system, (rhs_norm, true_residual))
        };
        Ok(Solution { x, report, negative_curvature: None })
    }
}

/// An initial guess x₀ leads to x₀ + (Â + λI)⁻¹(b − A x₀ − λ x₀), unless b = 0. Several b share one approximation.
impl<B: AutodiffBackend> LinearSolver<B> for Nystrom {
    #[inline(never)]
    fn solve_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &ParamVector<B>,
        options: SolveOptions<'_, B>,
    ) -> Result<Solution<B>, Error> {
        options.expect_no_preconditioner("Nystrom")?;
        options.expect_no_observer("Nystrom")?;
        let system = System::new(operator, rhs)?;
        rhs.expect_finite("the right-hand side b")?;
        let approximation = self.approximate(system.operator())?;
        self.solve_system(&system, &approximation, options.initial_guess)
    }

    #[inline(never)]
    fn solve_many_with(
        &self,
        operator: &dyn SelfAdjoint<B>,
        rhs: &[ParamVector<B>],
        preconditioner: Option<&dyn SelfAdjoint<B>>,
    ) -> Result<Vec<Solution<B>>, Error> {
        SolveOptions::preconditioned(preconditioner).expect_no_preconditioner("Nystrom")?;
        if rhs.is_empty() {
            return Ok(Vec::new());
        }
        let approximation = self.approximate(operator)?;
        let solutions = rhs.iter().map(|rhs| {
            let system = System::new(operator, rhs)?;
            system.count(approximation.products);
            self.solve_system(&system, &approximation, None)
        });
        solutions.collect()
    }
}

/// A low-rank approximation of a positive semidefinite A, with the damping λ that goes with it.
pub struct NystromApproximation<B: AutodiffBackend = DefaultBackend> {
    sketch: Sketch<B>,
    space: ParamSpace<B>,
    damping: f64,
    products: usize,
}

impl<B: AutodiffBackend> NystromApproximation<B> {
    /// The eigenvalues Λ, from the largest to the smallest. At most as many as the rank requested, fewer if A vanishes to
    /// rounding beyond them, and none for A = 0.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.sketch.eigenvalues
    }

    /// The approximation of A + λI.
    ///
    /// # Errors
    /// Infallible in practice; a `Result` as for all operators.
    pub fn operator(&self) -> Result<LowRank<B>, Error> {
        self.with(|eigenvalue| eigenvalue, self.damping)
    }

    /// (Â + λI)⁻¹, the inverse of the approximation.
    ///
    /// # Errors
    /// Infallible in practice; a `Result` as for all operators.
    pub fn inverse(&self) -> Result<LowRank<B>, Error> {
        let rest = 1.0 / self.damping;
        self.with(|eigenvalue| 1.0 / (eigenvalue + self.damping) - rest, rest)
    }

    /// P⁻¹, for [`SolveOptions::with_preconditioner`].
    ///
    /// # Errors
    /// Infallible in practice; a `Result` as for all operators.
    pub fn preconditioner(&self) -> Result<LowRank<B>, Error> {
        let smallest = self.eigenvalues().last().copied().unwrap_or(0.0);
        let top = smallest + self.damping;
        self.with(|eigenvalue| top / (eigenvalue + self.damping) - 1.0, 1.0)
    }

    /// Uᵀ diag(c) U + d·I
    fn with(&self, coefficient: impl Fn(f64) -> f64, rest: f64) -> Result<LowRank<B>, Error> {
        let eigenvalues = self.eigenvalues();
        let coefficients: Vec<f64> = match eigenvalues {
            [] => vec![0.0; self.products],
            _ => eigenvalues.iter().map(|value| coefficient(*value)).collect(),
        };
        LowRank::from_rows(self.sketch.rows.clone(), &coefficients, &self.space).with_damping(rest)
    }
}

impl<B: AutodiffBackend> std::fmt::Debug for NystromApproximation<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NystromApproximation")
            .field("eigenvalues", &self.sketch.eigenvalues)
            .field("damping", &self.damping)
            .finish_non_exhaustive()
    }
}
