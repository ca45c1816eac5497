//! What can go wrong with spectra. Running out of products is not among it: that is a stop reason.

use crate::params::Precision;

/// A spectrum that cannot be estimated as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpectrumError {
    /// More eigenpairs are wanted than there are.
    #[error(
        "{wanted} eigenpairs of a matrix with {unknowns} rows are wanted; ask for {unknowns} at most"
    )]
    TooManyPairs {
        /// Pairs wanted.
        wanted: usize,
        /// Rows of the matrix.
        unknowns: usize,
    },
    /// Squares of products leave the range of the number format.
    #[error(
        "the square of ‖A v‖ leaves the range of {precision} (‖A v‖ is about {norm:e} for a unit vector v); estimate the \
         spectrum of a multiple of A, or use f64"
    )]
    Range {
        /// ‖A v‖, or the largest number of A v where that is not finite.
        norm: f64,
        /// Format of the numbers.
        precision: Precision,
    },
}
