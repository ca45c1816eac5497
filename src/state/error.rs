//! What can go wrong with states in files of Burn's format.

/// A burnpack file that cannot be written, or that holds no such state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SavedStateError {
    /// The file cannot be read or written, or is not a burnpack file.
    #[error(
        "{reason}; expected a burnpack file that can be read and written: check the path, and that the file is complete"
    )]
    File {
        /// Burn's message.
        reason: String,
    },
    /// The file holds something else.
    #[error(
        "the file holds {found}, and the state of {expected} was expected: load it with the type that saved it",
        found = found.as_deref().unwrap_or("no state of this crate (a Burn record, perhaps)")
    )]
    Kind {
        /// The type whose state was expected.
        expected: &'static str,
        /// The type that the file names, if any.
        found: Option<String>,
    },
    /// The file was written by another version of this crate.
    #[error(
        "the state has format {found:?}, and this version reads {supported}: load it with the version that saved it"
    )]
    Version {
        /// The format that is read.
        supported: u64,
        /// The version in the file; `None` if it has none.
        found: Option<u64>,
    },
    /// The description of the state cannot be read.
    #[error(
        "the description of the state cannot be read ({reason}): the file is damaged; save the state again"
    )]
    Description {
        /// The parser's message.
        reason: String,
    },
    /// A tensor of the state is missing.
    #[error("the file has no tensor {name}: it is damaged; save the state again")]
    Missing {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor that does not belong to the state.
    #[error(
        "the state has no place for the tensor {name}: the file is damaged; save the state again"
    )]
    Unknown {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor whose shape is not the one in the description.
    #[error(
        "tensor {name} has the shape {found:?}, expected {expected:?}: the file is damaged; save the state again"
    )]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Its shape by the description; empty for a vector of any length.
        expected: Vec<usize>,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// A tensor whose values are not f64.
    #[error(
        "tensor {name} holds {found}, expected f64: the file was converted, and digits may be lost; load the \
         original file"
    )]
    Format {
        /// Name of the tensor.
        name: String,
        /// The format in the file.
        found: String,
    },
}

impl From<burn_pack::Error> for SavedStateError {
    fn from(error: burn_pack::Error) -> Self {
        Self::File { reason: error.to_string() }
    }
}

crate::error::kind!(SavedStateError);
