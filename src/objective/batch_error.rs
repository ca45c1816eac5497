//! What can be wrong with a batch.

use crate::error::Error;

/// A batch that the recorded loss does not accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A tensor of the batch has no elements.
    #[error(
        "tensor {position} of the batch has shape {shape:?}, which has no elements; skip empty batches"
    )]
    Empty {
        /// Which tensor, counted from 0.
        position: usize,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A batch of another type than the one captured, for Burn's own backward pass.
    #[error(
        "the closure takes a batch of type `{expected}`, and another type was given; in training mode the closure \
         itself is run, so that the tensors alone are not enough"
    )]
    OtherType {
        /// Type of the batch captured.
        expected: &'static str,
    },
    /// A batch of another type with other parts than the one captured.
    #[error(
        "the batch is of another type than the one captured, and its parts differ (✓ as captured, ✗ not): \
         {difference}. Batches of the captured type may differ in sizes, in which options are there and in the \
         lengths of lists"
    )]
    Other {
        /// The parts found, each with ✓ or ✗.
        difference: String,
    },
    /// An index of the batch, such as a label, that is out of range.
    #[error(
        "index {found} out of bounds at {}: `{operation}` picks from {limit} entries, so that indices must be 0 to {}. If it is \
         a label, {limit} is the number of classes: count labels from 0, or give the model more outputs; if it is a token, \
         enlarge the embedding", place(position, *batch), limit.saturating_sub(1)
    )]
    Index {
        /// The operation that picks.
        operation: String,
        /// The index.
        found: i64,
        /// The number of entries; of labels, that of classes.
        limit: usize,
        /// Where the index is among all that the operation takes: the row, followed by its coordinates along other dimensions
        /// with more than one entry.
        position: Vec<usize>,
        /// The batch of a data set, counted from 0.
        batch: Option<usize>,
    },
}

fn place(position: &[usize], batch: Option<usize>) -> String {
    let row = match position {
        [row] => format!("row {row}"),
        more => format!("position {more:?}"),
    };
    match batch {
        Some(batch) => format!("{row} of batch {batch}"),
        None => format!("{row} of the batch"),
    }
}

impl BatchError {
    /// An error of a batch of a data set, with its number.
    pub(super) fn numbered(error: Error, number: usize) -> Error {
        match error.downcast_ref() {
            Some(Self::Index { operation, found, limit, position, batch: None }) => Self::Index {
                operation: operation.clone(),
                found: *found,
                limit: *limit,
                position: position.clone(),
                batch: Some(number),
            }
            .into(),
            _ => error,
        }
    }
}

crate::error::kind!(BatchError);
