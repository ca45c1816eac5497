//! Values that are supplied to a closure which reads them while it is recorded: truth values, and integers that it may move
//! to another tensor but not look at.

use std::{fs::File, sync::LazyLock};

use burn_backend::{AllocationProperty, Bytes, Shape, TensorData};

use super::CaptureError;
use crate::{execute::RECORDED_INT, seeds::Seeds};

/// The value of a tensor that an earlier attempt wanted to read.
#[derive(Clone, Debug)]
pub(super) struct Supplied {
    /// Which tensor, counted from the first of the recording.
    pub number: u64,
    pub shape: Shape,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Truth(bool),
    /// Integers, and what is said if the closure looks at them.
    Integers(Box<CaptureError>),
}

/// How integers are supplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// By data that panic when they are looked at.
    Illegible,
    /// By numbers that occur nowhere else.
    Marked,
}

/// A path that no file system has.
const NO_FILE: &str = "\0";

/// What is said when a file at that path is opened.
static NO_FILE_MESSAGE: LazyLock<String> = LazyLock::new(|| match File::open(NO_FILE) {
    Ok(_) => NO_FILE.into(),
    Err(error) => error.to_string(),
});

/// Whether a panic means that illegible data were looked at.
pub(super) fn is_illegible(message: &str) -> bool {
    message.contains(NO_FILE_MESSAGE.as_str())
}

/// Whether data are illegible.
pub(super) fn are_illegible(data: &TensorData) -> bool {
    data.bytes().property() == AllocationProperty::File
}

impl Supplied {
    pub fn data(&self, form: Form) -> TensorData {
        let count = self.shape.num_elements();
        match (&self.value, form) {
            (Value::Truth(truth), _) => TensorData::new(vec![*truth; count], self.shape.clone()),
            (Value::Integers(_), Form::Marked) => {
                let mark = |at: usize| (Seeds::at(self.number, at as u64) >> 1).cast_signed();
                TensorData::new((0..count).map(mark).collect::<Vec<i64>>(), self.shape.clone())
            }
            (Value::Integers(_), Form::Illegible) => {
                let bytes = Bytes::from_file(NO_FILE, (count * RECORDED_INT.size()) as u64, 0);
                TensorData::from_bytes(bytes, self.shape.clone(), RECORDED_INT)
            }
        }
    }

    /// The truth value, if it is one.
    pub fn truth(&self) -> Option<bool> {
        match self.value {
            Value::Truth(truth) => Some(truth),
            Value::Integers(_) => None,
        }
    }
}
