//! A solver and an operator as one operator, A⁻¹.

use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    operator::{Adjoint, LinearOperator, SelfAdjoint, expect_square},
    space::{ParamSpace, ParamVector},
};

use super::{LinearSolver, Solution, SolveReport, SolverError};

/// What an [`Inverse`] does with a solve that stopped before its tolerance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnFailedSolve {
    /// Fail with [`SolverError::Unsolved`].
    Refuse,
    /// Return x as it is; the report shows how far it is off.
    Accept,
}

/// The inverse of an operator by a solver, as an operator: every product is a solve.
///
/// ```text
/// v ↦ A⁻¹v
/// ```
///
/// Self-adjoint, as A is; exactly so, and exactly linear, only as far as the solver's tolerance goes. The report of the
/// last solve is kept.
///
/// # Cost
/// One solve per product; several vectors at once by the solver's `solve_many`.
///
/// # Errors
/// Those of the solver; [`SolverError::Unsolved`] if it stopped short of its tolerance, unless
/// [`accepting`](Self::accepting) allows it.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ConjugateGradientConfig, LinearOperator, ParamSpace, operator::Diagonal, solver::Inverse};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = space.vector(&[2.0, 4.0])?;
/// let inverse = Inverse::new(Diagonal::new(a.clone())?, ConjugateGradientConfig::new().init()?)?;
/// let x = inverse.apply(&space.ones())?.to_vec()?;
/// assert!((x[0] - 0.5).abs() < 1e-12 && (x[1] - 0.25).abs() < 1e-12);
/// assert_eq!(inverse.last_report().map(|report| report.iterations), Some(2));
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub struct Inverse<B, A, S> {
    operator: A,
    solver: S,
    on_failure: OnFailedSolve,
    last: Mutex<Option<SolveReport>>,
    applications: AtomicUsize,
    backend: PhantomData<fn(B)>,
}

impl<B, A, S> Inverse<B, A, S>
where
    B: AutodiffBackend,
    A: SelfAdjoint<B>,
    S: LinearSolver<B>,
{
    /// The inverse of `operator` by `solver`. A solve that stops short is an error.
    ///
    /// # Errors
    /// [`OperatorError::NotSquare`](crate::errors::OperatorError::NotSquare).
    pub fn new(operator: A, solver: S) -> Result<Self, Error> {
        expect_square(&operator)?;
        Ok(Self {
            operator,
            solver,
            on_failure: OnFailedSolve::Refuse,
            last: Mutex::new(None),
            applications: AtomicUsize::new(0),
            backend: PhantomData,
        })
    }

    /// Sets what to do with a solve that stops short.
    pub fn accepting(mut self, on_failure: OnFailedSolve) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// The report of the last solve that ended, successful or not.
    pub fn last_report(&self) -> Option<SolveReport> {
        let last = self.last.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Products with A in all solves that ended, as their reports count them.
    pub fn applications(&self) -> usize {
        self.applications.load(Ordering::Relaxed)
    }

    /// Keeps the report, and returns x unless the solve stopped short.
    fn accept(&self, solution: Solution<B>) -> Result<ParamVector<B>, Error> {
        let report = solution.report;
        self.applications.fetch_add(report.applications, Ordering::Relaxed);
        let unsolved = SolverError::Unsolved {
            method: report.method,
            stop: report.stop,
            relative_residual: report.relative_residual,
        };
        let refused = !report.stop.is_success() && self.on_failure == OnFailedSolve::Refuse;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        if refused { Err(unsolved.into()) } else { Ok(solution.x) }
    }
}

impl<B, A, S> LinearOperator<B> for Inverse<B, A, S>
where
    B: AutodiffBackend,
    A: SelfAdjoint<B>,
    S: LinearSolver<B>,
{
    fn domain(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.accept(self.solver.solve(&self.operator, vector)?)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let solutions = self.solver.solve_many(&self.operator, vectors)?;
        let accepted = solutions.into_iter().map(|solution| self.accept(solution));
        accepted.collect()
    }
}

impl<B, A, S> SelfAdjoint<B> for Inverse<B, A, S>
where
    B: AutodiffBackend,
    A: SelfAdjoint<B>,
    S: LinearSolver<B>,
{
}

impl<B, A, S> Adjoint<B> for Inverse<B, A, S>
where
    B: AutodiffBackend,
    A: SelfAdjoint<B>,
    S: LinearSolver<B>,
{
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.apply(vector)
    }
}

impl<B, A: fmt::Debug, S: fmt::Debug> fmt::Debug for Inverse<B, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inverse")
            .field("operator", &self.operator)
            .field("solver", &self.solver)
            .field("on_failure", &self.on_failure)
            .finish_non_exhaustive()
    }
}
