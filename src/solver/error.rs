//! What can go wrong with solvers. Running out of iterations is not among it: that is a stop reason.

use crate::params::Precision;

use super::Method;

/// A system of equations that cannot be solved as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SolverError {
    /// ‖b‖² leaves the range of the number format.
    #[error(
        "the square of ‖b‖ leaves the range of {precision} (the largest number of b is {largest:e}); the system is linear, \
         so solve for a multiple of b and divide x by it, or use f64"
    )]
    RightHandSideRange {
        /// The largest absolute value in b.
        largest: f64,
        /// Format of the numbers.
        precision: Precision,
    },
    /// The preconditioner is not positive definite.
    #[error(
        "the preconditioner is not positive definite: rᵀM⁻¹r = {found:e} for r ≠ 0; damp it, or solve without one"
    )]
    Preconditioner {
        /// rᵀM⁻¹r
        found: f64,
    },
    /// A factorisation broke down.
    #[error(
        "{method} failed: the matrix is not positive definite, or singular; use `DirectMethod::EigenDecomposition`, which \
         takes any symmetric matrix"
    )]
    Factorisation {
        /// The factorisation.
        method: Method,
    },
}
