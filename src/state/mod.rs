//! Saved states in burnpack files, the format of Burn's own modules and optimizers. Independent of what is saved.
//!
//! A file holds the numbers of a state as named f64 tensors, bit for bit, and everything else as one JSON text in the
//! file's metadata, which leaves the places of the numbers empty.

mod error;
pub(crate) mod numbers;

pub use error::SavedStateError;

use std::{collections::BTreeMap, path::Path};

use burn::tensor::Bytes;
use burn_pack::{DType, Reader, Scalar, Tensor, Writer};
use serde::{Serialize, de::DeserializeOwned};

/// The format that is written and read.
const VERSION: u64 = 1;
/// Keys of the metadata.
const KIND: &str = "burn-curvature.state";
const DESCRIPTION: &str = "burn-curvature.description";
const FORMAT: &str = "burn-curvature.version";

/// Visits a list of numbers, with its name and shape; the shape is empty for a vector of any length.
pub(crate) type Visit<'a> = dyn FnMut(&str, &[usize], &mut Vec<f64>) + 'a;

/// A state whose numbers can be taken out and put back.
pub(crate) trait Packed: Clone + Serialize + DeserializeOwned {
    /// Name of the type whose state it is.
    const KIND: &'static str;

    /// Visits all lists of numbers, each under a name of its own. The order and the names are the same for empty lists.
    fn visit(&mut self, visit: &mut Visit<'_>);

    fn save(&self, path: &Path) -> Result<(), SavedStateError> {
        Ok(writer(self)?.write_to_file(path)?)
    }

    fn load(path: &Path) -> Result<Self, SavedStateError> {
        read(Reader::from_file(path)?)
    }

    fn to_bytes(&self) -> Result<Bytes, SavedStateError> {
        Ok(writer(self)?.into_bytes()?)
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, SavedStateError> {
        read(Reader::from_bytes(bytes)?)
    }
}

fn writer<T: Packed>(state: &T) -> Result<Writer, SavedStateError> {
    let mut description = state.clone();
    let mut tensors = Vec::new();
    description.visit(&mut |name, shape, numbers| {
        let numbers = std::mem::take(numbers);
        let shape = match shape {
            [] => vec![numbers.len()],
            shape => shape.to_vec(),
        };
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
        let bytes = Bytes::from_bytes_vec(bytes.collect());
        tensors.push(Tensor::new(name.into(), DType::F64, shape, None, bytes));
    });
    let description = serde_json::to_string(&description).map_err(description_error)?;
    Ok(Writer::new(tensors)
        .with_metadata(KIND, T::KIND)
        .with_metadata(DESCRIPTION, &description)
        .with_scalar(FORMAT, Scalar::UInt(VERSION)))
}

fn read<T: Packed>(reader: Reader) -> Result<T, SavedStateError> {
    let mut state: T = description(&reader)?;
    let tensors = reader.into_tensors()?.into_iter();
    let mut tensors: BTreeMap<String, Tensor> =
        tensors.map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut failure = None;
    state.visit(&mut |name, shape, numbers| {
        if failure.is_some() {
            return;
        }
        match take(&mut tensors, name, shape) {
            Ok(found) => *numbers = found,
            Err(error) => failure = Some(error),
        }
    });
    match (failure, tensors.into_keys().next()) {
        (Some(failure), _) => Err(failure),
        (None, Some(name)) => Err(SavedStateError::Unknown { name }),
        (None, None) => Ok(state),
    }
}

/// The state without its numbers.
fn description<T: Packed>(reader: &Reader) -> Result<T, SavedStateError> {
    let metadata = reader.metadata();
    let found = metadata.get(KIND);
    if found.is_none_or(|found| found != T::KIND) {
        return Err(SavedStateError::Kind { expected: T::KIND, found: found.cloned() });
    }
    let version = reader.scalars().get(FORMAT).copied();
    let version = version.and_then(|version| u64::try_from(version).ok());
    if version != Some(VERSION) {
        return Err(SavedStateError::Version { supported: VERSION, found: version });
    }
    let text = metadata.get(DESCRIPTION).map_or("", String::as_str);
    serde_json::from_str(text).map_err(description_error)
}

fn description_error(error: serde_json::Error) -> SavedStateError {
    SavedStateError::Description { reason: error.to_string() }
}

fn take(
    tensors: &mut BTreeMap<String, Tensor>,
    name: &str,
    expected: &[usize],
) -> Result<Vec<f64>, SavedStateError> {
    let tensor = tensors.remove(name);
    let tensor = tensor.ok_or_else(|| SavedStateError::Missing { name: name.into() })?;
    let found = tensor.shape.to_vec();
    let fits = match expected {
        [] => found.len() == 1,
        expected => found == expected,
    };
    if !fits {
        return Err(SavedStateError::Shape {
            name: name.into(),
            expected: expected.to_vec(),
            found,
        });
    }
    if tensor.dtype != DType::F64 {
        return Err(SavedStateError::Format {
            name: name.into(),
            found: format!("{:?}", tensor.dtype),
        });
    }
    let bytes = tensor.into_bytes()?;
    let numbers = bytes.as_chunks().0.iter().copied();
    Ok(numbers.map(f64::from_le_bytes).collect())
}

/// The interface of a state: files and bytes of Burn's format.
macro_rules! saved {
    ($state:ty) => {
        impl $state {
            /// Saves it to a burnpack file, Burn's format for modules and optimizers; without an extension the path gets
            /// `.bpk`. An existing file is replaced only when the new one is complete. All numbers are stored in f64,
            /// bit for bit.
            ///
            /// # Errors
            /// [`SavedStateError::File`](crate::errors::SavedStateError).
            pub fn save(
                &self,
                path: impl AsRef<std::path::Path>,
            ) -> Result<(), crate::error::Error> {
                Ok(crate::state::Packed::save(self, path.as_ref())?)
            }

            /// Loads what [`save`](Self::save) saved.
            ///
            /// # Errors
            /// [`SavedStateError`](crate::errors::SavedStateError) for a file that cannot be read, is damaged, or holds another
            /// kind or version of state. Whether it belongs to the model is checked where it is used.
            pub fn load(path: impl AsRef<std::path::Path>) -> Result<Self, crate::error::Error> {
                Ok(crate::state::Packed::load(path.as_ref())?)
            }

            /// The same file in memory.
            ///
            /// # Errors
            /// [`SavedStateError::File`](crate::errors::SavedStateError).
            pub fn to_bytes(&self) -> Result<burn::tensor::Bytes, crate::error::Error> {
                Ok(crate::state::Packed::to_bytes(self)?)
            }

            /// Reads what [`to_bytes`](Self::to_bytes) or a file of [`save`](Self::save) holds.
            ///
            /// # Errors
            /// As [`load`](Self::load).
            pub fn from_bytes(bytes: burn::tensor::Bytes) -> Result<Self, crate::error::Error> {
                Ok(crate::state::Packed::from_bytes(bytes)?)
            }
        }
    };
}

pub(crate) use saved;
