//! What a caller can pass to a solve besides A and b.

use std::fmt;

use burn_backend::AutodiffBackend;

use crate::{operator::SelfAdjoint, space::ParamVector, tensor::DefaultBackend};

use super::{SolverError, UnusedOption};

/// One iteration, as an observer sees it.
#[derive(Debug)]
pub struct Iteration<'a, B: AutodiffBackend = DefaultBackend> {
    /// Iteration number, starting at 1.
    pub index: usize,
    /// ‖r‖ by the recurrence.
    pub residual: f64,
    /// ‖r‖ / ‖b‖
    pub relative_residual: f64,
    /// Curvature pᵀAp / pᵀMp along the search direction (for MINRES: the Lanczos vector); M = I without a
    /// preconditioner.
    pub curvature: f64,
    /// φ(x) = ½ xᵀA x − bᵀx by the recurrence.
    pub objective: f64,
    /// The iterate.
    pub x: &'a ParamVector<B>,
}

/// A function that is called after every iteration.
pub(super) type Observer<'a, B> = &'a mut dyn FnMut(&Iteration<'_, B>);

/// Initial guess, preconditioner and observer of one solve; none of them by default.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ConjugateGradientConfig, LinearSolver, ParamSpace, SolveOptions, operator::Diagonal};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(3)?;
/// let a = space.vector(&[1.0, 10.0, 100.0])?;
/// let inverse = Diagonal::new(space.vector(&[1.0, 0.1, 0.01])?)?;
/// let mut residuals = Vec::new();
/// let mut observer = |iteration: &burn_curvature::solver::Iteration<'_, _>| residuals.push(iteration.residual);
/// let options = SolveOptions::new()
///     .with_initial_guess(space.ones())
///     .with_preconditioner(&inverse)
///     .with_observer(&mut observer);
/// let solver = ConjugateGradientConfig::new().init()?;
/// let solution = solver.solve_with(&Diagonal::new(a.clone())?, &a.scale(2.0), options)?;
/// assert_eq!(solution.report.iterations, 1); // an exact preconditioner
/// assert_eq!(residuals.len(), 1);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub struct SolveOptions<'a, B: AutodiffBackend = DefaultBackend> {
    pub(super) initial_guess: Option<ParamVector<B>>,
    pub(super) preconditioner: Option<&'a dyn SelfAdjoint<B>>,
    pub(super) observer: Option<Observer<'a, B>>,
}

impl<'a, B: AutodiffBackend> SolveOptions<'a, B> {
    /// Start at x = 0, no preconditioner, no observer.
    pub fn new() -> Self {
        Self { initial_guess: None, preconditioner: None, observer: None }
    }

    /// A preconditioner if there is one, nothing else.
    pub(super) fn preconditioned(preconditioner: Option<&'a dyn SelfAdjoint<B>>) -> Self {
        Self { preconditioner, ..Self::new() }
    }

    /// The preconditioner, if there is one.
    pub(crate) fn preconditioner(&self) -> Option<&'a dyn SelfAdjoint<B>> {
        self.preconditioner
    }

    /// For a solver that has no use for a preconditioner.
    pub(super) fn expect_no_preconditioner(&self, solver: &'static str) -> Result<(), SolverError> {
        let option = UnusedOption::Preconditioner;
        match self.preconditioner {
            Some(_) => Err(SolverError::OptionRefused { solver, option }),
            None => Ok(()),
        }
    }

    /// For a solver that has no use for an observer.
    pub(super) fn expect_no_observer(&self, solver: &'static str) -> Result<(), SolverError> {
        let option = UnusedOption::Observer;
        match self.observer {
            Some(_) => Err(SolverError::OptionRefused { solver, option }),
            None => Ok(()),
        }
    }

    /// Start at a given x. Costs one product with A.
    pub fn with_initial_guess(mut self, x: ParamVector<B>) -> Self {
        self.initial_guess = Some(x);
        self
    }

    /// A positive definite operator close to A⁻¹.
    pub fn with_preconditioner(mut self, inverse: &'a dyn SelfAdjoint<B>) -> Self {
        self.preconditioner = Some(inverse);
        self
    }

    /// A function that is called after every iteration. [`Convergence`](super::Convergence) computes the residual, the rate and
    /// the number of steps left from what it sees.
    pub fn with_observer(mut self, observer: &'a mut dyn FnMut(&Iteration<'_, B>)) -> Self {
        self.observer = Some(observer);
        self
    }
}

impl<B: AutodiffBackend> Default for SolveOptions<'_, B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: AutodiffBackend> fmt::Debug for SolveOptions<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SolveOptions")
            .field("initial_guess", &self.initial_guess)
            .field("preconditioner", &self.preconditioner.is_some())
            .field("observer", &self.observer.is_some())
            .finish()
    }
}
