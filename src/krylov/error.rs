//! What can go wrong with the products of a Krylov method.

use crate::tensor::Precision;

/// A product that cannot be worked with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KrylovError {
    /// Squares of products leave the range of the number format.
    #[error(
        "the square of ‖A v‖ leaves the range of {precision} (the norm or the largest entry of A v is {norm:.3e}); work with a \
         multiple of A, or use f64"
    )]
    Range {
        /// ‖A v‖, or the largest absolute value in A v if the norm is not finite.
        norm: f64,
        /// Format of the entries.
        precision: Precision,
    },
}

crate::error::kind!(KrylovError);
