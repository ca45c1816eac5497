//! The one error type of the public interface. Depends on no room: each room has kinds of its own.

use std::{error::Error as StdError, fmt, sync::Arc};

/// Anything that can go wrong, in this crate or in an operator, a stream or a solver of your own.
///
/// The message says what was found, what was expected and what to try. To react to one kind, ask for it by its type:
/// the kinds of each module ([`VectorError`](crate::errors::VectorError), [`SolverError`](crate::solver::SolverError), …) are
/// public and `#[non_exhaustive]`. Cloning is cheap. `{:?}` prints the message too, so that `unwrap` and a `main` that returns
/// the error show it; `{:#?}` prints the fields of the kind.
///
/// # Example
/// ```
/// use burn_curvature::{Error, ParamLayout, errors::ParamError};
///
/// let error: Error = ParamLayout::flat(0).unwrap_err().into();
/// assert!(error.is::<ParamError>());
///
/// // An operator of your own may fail with an error of its own.
/// let error = Error::new(std::io::Error::other("the simulator did not answer"));
/// assert_eq!(error.downcast_ref::<std::io::Error>().map(|e| e.kind()), Some(std::io::ErrorKind::Other));
/// ```
#[derive(Clone)]
pub struct Error(Arc<dyn StdError + Send + Sync>);

impl Error {
    /// Wraps an error of any type.
    pub fn new(error: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }

    /// Whether the error is of type `E`.
    pub fn is<E: StdError + 'static>(&self) -> bool {
        self.0.is::<E>()
    }

    /// The error as an `E`, or `None` if it is of another type.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The message, since `unwrap` and a `main` that returns the error print this; with `{:#?}` the fields of the kind.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { fmt::Debug::fmt(&self.0, f) } else { fmt::Display::fmt(&self.0, f) }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl From<Box<dyn StdError + Send + Sync>> for Error {
    fn from(error: Box<dyn StdError + Send + Sync>) -> Self {
        Self(error.into())
    }
}

/// Makes a room's error a kind of [`Error`].
macro_rules! kind {
    ($($kind:ty),+) => {$(
        impl From<$kind> for $crate::error::Error {
            fn from(error: $kind) -> Self {
                Self::new(error)
            }
        }
    )+};
}
pub(crate) use kind;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Error;

    #[test]
    fn an_error_passes_message_and_source_through() {
        let inner = "x".parse::<f64>().unwrap_err();
        let outer = std::io::Error::other(inner.clone());
        let error = Error::new(outer);
        assert_eq!(error.to_string(), inner.to_string());
        assert!(!error.is::<std::num::ParseFloatError>());
        let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(inner.clone());
        let error = Error::from(boxed).clone();
        assert_eq!(error.downcast_ref(), Some(&inner));
        assert_eq!(format!("{error:#?}"), format!("{inner:#?}"));
        assert_eq!(format!("{error:?}"), inner.to_string());
    }
}
