//! What can go wrong while a program runs.

use crate::{graph::GraphError, tensor::TensorError};

/// Failure of one run of a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The operation exists in no backend, or not for operands of this kind.
    #[error("operation {operation} cannot be run on {found} operands; expected {expected}")]
    Unsupported {
        /// Name of the operation.
        operation: String,
        /// Kinds of the operands it got.
        found: String,
        /// Kinds it takes.
        expected: String,
    },
    /// The wrong number of inputs reached a program or an operation.
    #[error("{what} takes {expected} inputs and got {found}")]
    InputCount {
        /// The program or operation.
        what: String,
        /// Number of inputs it takes.
        expected: usize,
        /// Number of inputs it got.
        found: usize,
    },
    /// An operation was declared with the wrong number of results.
    #[error("{what} has {expected} results, and {found} were declared")]
    OutputCount {
        /// The operation.
        what: String,
        /// Number of results it has.
        expected: usize,
        /// Number of results declared.
        found: usize,
    },
    /// A tensor is not what the operation needs.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The program is not well formed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A constant could not be converted to the element type it has in the program.
    #[error("constant %{value} holds {found} and cannot be stored as {expected}: {reason}")]
    Constant {
        /// Index of the value.
        value: usize,
        /// Element type and shape it should have.
        expected: String,
        /// Element type and shape of the stored data.
        found: String,
        /// What went wrong.
        reason: String,
    },
    /// An input whose shape or element type differs from the recorded one.
    #[error(
        "input {index} has {found}, but the program was recorded for {expected}; capture the loss on a batch of that \
         shape, or cast"
    )]
    InputType {
        /// Position of the input.
        index: usize,
        /// Shape and element type expected.
        expected: String,
        /// Shape and element type found.
        found: String,
    },
    /// The backend panicked.
    #[error("the backend failed in operation {operation}: {message}")]
    Backend {
        /// Name of the operation.
        operation: String,
        /// The backend's message.
        message: String,
    },
    /// The element type does not exist on this backend.
    #[error(
        "backend {backend} has no {dtype}; run in a precision it has (f32), or choose a backend that has {dtype} \
         (Flex, NdArray)"
    )]
    Precision {
        /// Name of the backend.
        backend: String,
        /// The element type.
        dtype: String,
    },
}

crate::error::kind!(ExecuteError);
