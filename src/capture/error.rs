//! Why a model could not be recorded.

/// A model or loss that cannot be recorded as a program.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// An operation that is not covered.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The closure, or Burn inside it, panicked.
    #[error(
        "the closure panicked while it was recorded: {message}. While recording, tensors have shapes but no numbers: \
         a closure may not read values (`into_scalar`, `into_data`) but computed truth values one by one, make shapes \
         of them, or use tensors from outside, such as the weights of a loss built there; hand every tensor to the \
         batch, and make constants on the device of one of its tensors"
    )]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The closure evaluates an objective that is being recorded.
    #[error(
        "the closure works with an objective while that is recorded, which needs the closure; evaluate the objective \
         outside, and hand the result in with the batch"
    )]
    Nested,
    /// The closure panicked in Burn itself, where nothing was recorded.
    #[error(
        "the closure panicked when Burn ran it and its `backward()`, to compare the gradients: {message}. Make it train \
         in Burn first, or trace with `CaptureConfig::new().unchecked()` if only Burn's own gradient is missing"
    )]
    BurnPanicked {
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
    #[error(
        "the loss has shape {shape:?}, but a scalar of shape [1] is needed; reduce it with `mean()` or `sum()`"
    )]
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
    #[error(
        "tensor {position} of the batch has shape {shape:?} and so no elements; skip empty batches"
    )]
    EmptyBatch {
        /// Which tensor, counted from 0.
        position: usize,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A batch with other tensors than the one recorded.
    #[error(
        "the batch holds {found}, but the loss was recorded for {expected}; only sizes may differ, not kinds or ranks"
    )]
    OtherBatch {
        /// Kinds and ranks recorded.
        expected: String,
        /// Kinds and ranks found.
        found: String,
    },
    /// Parameters of an element type that is not recorded.
    #[error(
        "parameter {name} holds {dtype}; only f32 and f64 parameters are differentiated, cast the model first"
    )]
    ParameterType {
        /// Name of the parameter.
        name: String,
        /// Its element type.
        dtype: String,
    },
    /// A tolerance that no comparison can use.
    #[error(
        "the tolerance of the comparison with `backward()` is {found}; expected a number above 0, such as 1e-3"
    )]
    Tolerance {
        /// What was given.
        found: f64,
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

/// A recording that cannot become a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The model uses an operation that this crate cannot differentiate.
    #[error(
        "operation {operation} (number {position} of the recording, inputs {inputs}) is not supported; express it with \
         other tensor operations, or keep it out of the traced closure"
    )]
    Unsupported {
        /// Name of the operation.
        operation: String,
        /// Its position in the recording.
        position: usize,
        /// Element types and shapes of its inputs.
        inputs: String,
    },
    /// An operation reads a tensor that was not made inside the recording.
    #[error(
        "operation {operation} (number {position} of the recording) reads a tensor that was made outside it and is not \
         an input; hand the tensor in with the batch, or create it inside the closure"
    )]
    Undefined {
        /// Name of the operation.
        operation: String,
        /// Its position in the recording.
        position: usize,
    },
    /// An input is neither known by value nor used by any operation.
    #[error(
        "input {index} was never initialized on the recording device; move it there inside the recording"
    )]
    UnknownInput {
        /// Position of the input.
        index: usize,
    },
    /// An output that no operation writes.
    #[error(
        "output {index} was not made inside the recording; return a tensor computed from the inputs"
    )]
    UnknownOutput {
        /// Position of the output.
        index: usize,
    },
    /// One tensor was listed as two inputs, or is written by an operation although it is an input.
    #[error("input {index} is already defined by {by}; every input must be a tensor of its own")]
    DefinedTwice {
        /// Position of the input.
        index: usize,
        /// What defines it already.
        by: String,
    },
}

crate::error::kind!(CaptureError, ImportError);
