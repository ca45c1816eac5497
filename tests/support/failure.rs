//! The kind of an error.

use burn_curvature::Error;

/// The error of a result, if it is an `E`.
pub fn failure<T, E: std::error::Error + 'static>(result: &Result<T, Error>) -> Option<&E> {
    result.as_ref().err()?.downcast_ref()
}
