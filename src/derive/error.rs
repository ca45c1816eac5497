//! Why a program could not be differentiated.

/// A program whose derivative could not be written down or computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeriveError {
    /// The operation has no exact second derivative here.
    #[error("operation {operation} cannot be differentiated twice: {reason}")]
    NotDifferentiable {
        /// Name of the operation.
        operation: String,
        /// Why not, and what to use in its place.
        reason: String,
    },
    /// Burn refused an operation while the derivative was recorded.
    #[error(
        "the {derivative} could not be derived: {message}. Replace the operation in the model by one that is \
         differentiable twice"
    )]
    Refused {
        /// Which derivative.
        derivative: &'static str,
        /// Burn's message.
        message: String,
    },
    /// The eager engine failed on the backend's tape.
    #[error(
        "the eager engine failed on this backend: {message}. Use `Engine::Compiled`, which needs no nested tape"
    )]
    Eager {
        /// Burn's message.
        message: String,
    },
    /// The closure returned the loss alone.
    #[error(
        "this product needs to know where the model ends and the loss begins: let the captured closure return \
         `(outputs, loss)`"
    )]
    NoOutputs,
    /// The loss is not computed from the outputs.
    #[error(
        "the loss does not depend on the outputs that the captured closure returned: return the tensor that the loss \
         is computed from, in `(outputs, loss)`"
    )]
    UnusedOutputs,
    /// The loss depends on parameters other than through the outputs.
    #[error(
        "the loss depends on parameters besides the outputs: those at positions {parameters:?} in the layout"
    )]
    Bypass {
        /// Their positions in the layout.
        parameters: Vec<usize>,
    },
}

crate::error::kind!(DeriveError);
