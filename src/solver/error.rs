//! What can go wrong with solvers. Running out of iterations is a stop reason, not an error.

use std::fmt;

use crate::tensor::Precision;

use super::{Method, StopReason};

/// A system of equations that cannot be solved as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SolverError {
    /// ‖b‖² leaves the range of the number format.
    #[error(
        "the square of ‖b‖ leaves the range of {precision} (the largest absolute value in b is {largest:.3e}); the \
         system is linear, so solve for a multiple of b and divide x by it, or use f64"
    )]
    RightHandSideRange {
        /// The largest absolute value in b.
        largest: f64,
        /// Format of the entries.
        precision: Precision,
    },
    /// x leaves the range of the number format.
    #[error(
        "the largest absolute value in x is {largest:.3e}, which leaves the range of {precision}; the system is \
         linear, so solve for a multiple of b and multiply x afterwards, or use f64"
    )]
    SolutionRange {
        /// The largest absolute value in x.
        largest: f64,
        /// Format of the entries.
        precision: Precision,
    },
    /// The preconditioner is not positive definite.
    #[error(
        "the preconditioner is not positive definite: rᵀM⁻¹r = {found:.3e} for r ≠ 0; damp it, or solve without one"
    )]
    Preconditioner {
        /// rᵀM⁻¹r
        found: f64,
    },
    /// A factorization broke down.
    #[error(
        "{method} failed: the matrix is not positive definite, or singular; use `DirectMethod::EigenDecomposition`, \
         which takes any symmetric matrix"
    )]
    Factorization {
        /// The factorization.
        method: Method,
    },
    /// A solver cannot use an option.
    #[error("`{solver}` cannot use {option}: leave it out, or take another solver")]
    OptionRefused {
        /// The solver.
        solver: &'static str,
        /// The option.
        option: UnusedOption,
    },
    /// A diagonal preconditioner with an entry that has no positive power.
    #[error(
        "{count} entries of the damped diagonal are not positive and finite, the first in block `{block}`: \
         {found:.3e}; raise the damping, or take absolute values"
    )]
    Diagonal {
        /// Name of the first block at fault.
        block: String,
        /// The first entry at fault.
        found: f64,
        /// Number of entries at fault.
        count: usize,
    },
    /// An operator that must be positive semidefinite is not.
    #[error(
        "the operator without its damping is not positive semidefinite: a random sketch of it has the eigenvalue \
         {found:.3e}; use a Gauss-Newton or Fisher matrix in place of a Hessian, check that the damping of the \
         configuration is part of the operator, or take MINRES"
    )]
    Indefinite {
        /// The negative eigenvalue of the sketch.
        found: f64,
    },
    /// An inverse was asked for, and the solve stopped short.
    #[error(
        "{method} stopped short of the solution with a relative residual of {relative_residual:.3e}; accept such \
         solves with `OnFailedSolve::Accept`, or see the report of the last solve: {stop}"
    )]
    Unsolved {
        /// The method.
        method: Method,
        /// Why it stopped.
        stop: StopReason,
        /// ‖b − A x‖ / ‖b‖
        relative_residual: f64,
    },
    /// A series that was to be summed whatever it does leaves the range of the number format.
    #[error(
        "the series leaves the range of the numbers at term {terms}: the scale s is too large, or the operator has a \
         negative eigenvalue; take a smaller scale, with sλ < 2 for every eigenvalue λ, or fewer terms"
    )]
    Overflow {
        /// The term.
        terms: usize,
    },
    /// A scale cannot be chosen for an operator that is zero.
    #[error(
        "no scale can be chosen, since the largest eigenvalue of the operator is {found:.3e}; is the operator zero?"
    )]
    NoScale {
        /// The estimate of the largest eigenvalue.
        found: f64,
    },
}

/// An option of [`SolveOptions`](crate::SolveOptions) that a solver cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnusedOption {
    /// An initial guess.
    InitialGuess,
    /// A preconditioner.
    Preconditioner,
    /// An observer.
    Observer,
}

impl fmt::Display for UnusedOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UnusedOption::InitialGuess => "an initial guess",
            UnusedOption::Preconditioner => "a preconditioner",
            UnusedOption::Observer => "an observer",
        })
    }
}

crate::error::kind!(SolverError);
