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
        "the closure panicked while it was recorded: {message}. While recording, tensors have shapes but no values: \
         a closure may not read values (`into_scalar`, `into_data`) except computed truth values one by one, make shapes \
         of them, or use tensors from outside, such as the weights of a loss built there; put every tensor into the \
         batch, and make constants on the device of one of its tensors"
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
    /// The loss is not a scalar.
    #[error(
        "the loss has shape {shape:?}, but a scalar of shape [1] is needed; reduce it with `mean()` or `sum()`, or return \
         losses of samples as `Loss::mean_of(losses)` or `Loss::sum_of(losses)`"
    )]
    LossNotScalar {
        /// Shape of what the closure returned.
        shape: Vec<usize>,
    },
    /// The weight of a [`Loss`](crate::Loss) is not a scalar.
    #[error(
        "the weight of the loss has shape {shape:?}, but a scalar of shape [1] is needed: `Loss::weighted` takes the sum of \
         the losses and the sum of their weights"
    )]
    WeightNotScalar {
        /// Shape of the weight.
        shape: Vec<usize>,
    },
    /// The weight of a [`Loss`](crate::Loss) depends on trainable parameters.
    #[error(
        "the weight of the loss depends on trainable parameters, so that a data set is no weighted mean of its batches: \
         compute the weight from the batch alone, or return the quotient as a scalar loss for single batches"
    )]
    WeightDependsOnParameters,
    /// The loss or the outputs were not computed from the closure's arguments.
    #[error(
        "{what} did not come from the recording ({found}); compute it from the closure's model and batch, \
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
        "the loss does not depend on any trainable parameter; use the closure's model, and check that it \
         is not frozen"
    )]
    IndependentLoss,
}

/// A recording that cannot become a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The model uses an operation that this crate cannot differentiate.
    #[error(
        "operation {operation} (number {position} of the recording, inputs {inputs}) is not supported; express it with \
         other tensor operations, or keep it out of the captured closure"
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
