//! What all test binaries share.
#![allow(dead_code)] // No binary uses all of it.

use burn_curvature::Error;

/// The error of a result, if it is an `E`.
pub fn failure<T, E: std::error::Error + 'static>(result: &Result<T, Error>) -> Option<&E> {
    result.as_ref().err()?.downcast_ref()
}
