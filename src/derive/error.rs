//! Why a program could not be differentiated.

/// A program whose derivative could not be written down or computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// Burn refused an operation while the derivative was recorded.
    #[error(
        "the {derivative} could not be derived: {message}. Replace the operation in the model by one that is \
         differentiable twice"
    )]
    Refused {
        /// Which derivative.
        derivative: &'static str,
        /// What Burn said.
        message: String,
    },
    /// The eager engine failed on the backend's tape.
    #[error("the eager engine failed on this backend: {message}. Use `Engine::Compiled`, which needs no nested tape")]
    Eager {
        /// What Burn said.
        message: String,
    },
}
