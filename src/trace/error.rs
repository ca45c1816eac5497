//! What can go wrong while a recording is imported.

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
        "input {index} was never initialised on the recording device; move it there inside the recording"
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
