//! What can be wrong with a tensor.

use crate::error::kind;

/// A tensor that cannot be used where it was passed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The tensor is on another backend than expected.
    #[error(
        "expected a tensor of backend {expected}, but {reason}; move it with `to_device`, or use \
         `Autodiff<Dispatch>`, which takes every backend"
    )]
    OtherBackend {
        /// Name of the typed backend.
        expected: String,
        /// What was found there.
        reason: String,
    },
    /// The tensor is quantized.
    #[error("quantized tensors have no derivatives; dequantize the tensor first")]
    Quantized,
    /// The tensor is of another kind than needed.
    #[error("expected a {expected} tensor, found {found}")]
    Kind {
        /// The kind needed.
        expected: String,
        /// Element type and shape found.
        found: String,
    },
    /// The tensor could not be read back from its device.
    #[error("a tensor could not be read back from its device: {message}")]
    Read {
        /// The backend's message.
        message: String,
    },
}

kind!(TensorError);
