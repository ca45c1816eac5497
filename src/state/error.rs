//! What can go wrong with states in files of Burn's format.

/// A burnpack file that cannot be written, or that holds no such state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SavedStateError {
    /// The file cannot be read or written, or is no burnpack file.
    #[error(
        "{reason}; expected a burnpack file that can be read and written: check the path, and that the file is whole"
    )]
    File {
        /// What Burn says of it.
        reason: String,
    },
    /// The file holds something else.
    #[error(
        "the file holds {found}, where the state of {expected} is wanted: load it by the type it was saved with",
        found = found.as_deref().unwrap_or("no state of this crate (a Burn record, perhaps)")
    )]
    Kind {
        /// What is wanted.
        expected: &'static str,
        /// What it says it is.
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
        "the description of the state cannot be read ({reason}): the file is damaged, save it anew"
    )]
    Description {
        /// What the parser says.
        reason: String,
    },
    /// A tensor of the state is missing.
    #[error("the file has no tensor {name}: it is damaged, save it anew")]
    Missing {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor that does not belong to the state.
    #[error("the state has no place for the tensor {name}: the file is damaged, save it anew")]
    Unknown {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor whose shape is not the one in the description.
    #[error(
        "tensor {name} has the shape {found:?}, expected {expected:?}: the file is damaged, save it anew"
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
        "tensor {name} holds {found} numbers, and states hold f64: the file was converted, and digits may be lost"
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
