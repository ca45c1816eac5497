//! Why a model could not be recorded.

pub use super::import::ImportError;

/// A model or loss that cannot be recorded as a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// An operation that is not covered.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The closure, or Burn inside it, panicked.
    #[error(
        "the closure panicked while it was recorded: {message}. While recording, tensors have shapes but no numbers: \
         a closure may not read values (`into_scalar`, `into_data`), branch on them, make shapes of them, or use \
         tensors of other devices; hand every tensor to the batch"
    )]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The recording ended with boundaries that Burn refuses.
    #[error("the recording has no usable boundary: {message}")]
    Boundary {
        /// What Burn said.
        message: String,
    },
    /// The loss is not one number.
    #[error("the loss has shape {shape:?}, but a scalar of shape [1] is needed; reduce it with `mean()` or `sum()`")]
    LossNotScalar {
        /// Shape of what the closure returned.
        shape: Vec<usize>,
    },
    /// The loss or the outputs were not computed from what was handed to the closure.
    #[error(
        "{what} did not come from the recording ({found}); compute it from the model and batch handed to the closure, \
         not from tensors captured from outside"
    )]
    OtherDevice {
        /// Loss or outputs.
        what: String,
        /// What was found.
        found: String,
    },
    /// The loss does not depend on any trainable parameter.
    #[error(
        "the loss does not depend on any trainable parameter; use the model handed to the closure, and check that it \
         is not frozen"
    )]
    IndependentLoss,
    /// A tensor of the batch has no elements.
    #[error("tensor {position} of the batch has shape {shape:?} and so no elements; skip empty batches")]
    EmptyBatch {
        /// Which tensor, counted from 0.
        position: usize,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A batch with other tensors than the one recorded.
    #[error("the batch holds {found}, but the loss was recorded for {expected}; only sizes may differ, not kinds or ranks")]
    OtherBatch {
        /// Kinds and ranks recorded.
        expected: String,
        /// Kinds and ranks found.
        found: String,
    },
    /// Parameters of an element type that is not recorded.
    #[error("parameter {name} holds {dtype}; only f32 and f64 parameters are differentiated, cast the model first")]
    ParameterType {
        /// Name of the parameter.
        name: String,
        /// Its element type.
        dtype: String,
    },
    /// The recorded gradient is not Burn's.
    #[error(
        "the recorded gradient differs from Burn's own `backward()` by {difference:.1e} of its norm in {parameter} \
         (loss {recorded_loss} recorded, {burn_loss} by Burn). Likely causes: {causes}"
    )]
    Unfaithful {
        /// The parameter with the largest relative difference.
        parameter: String,
        /// ‖g − g_Burn‖ / ‖g_Burn‖ of that parameter.
        difference: f64,
        /// The loss as recorded.
        recorded_loss: f64,
        /// The loss by Burn.
        burn_loss: f64,
        /// What usually causes it, most likely first.
        causes: String,
    },
}
