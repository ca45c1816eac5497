//! What a tensor is: kind, element type and shape.

use std::fmt;

use burn_backend::{DType, Shape};

/// Whether a value holds floats, integers or booleans.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Float,
    Int,
    Bool,
}

impl Kind {
    /// The name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Float => "float",
            Kind::Int => "int",
            Kind::Bool => "bool",
        }
    }
}

/// Shape and element type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ValueType {
    /// Size of each dimension.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
}

impl ValueType {
    /// Memory of such a value.
    pub fn bytes(&self) -> usize {
        self.shape.num_elements() * self.dtype.size()
    }

    /// Float, int or bool.
    pub fn kind(&self) -> Kind {
        if self.dtype.is_float() {
            Kind::Float
        } else if self.dtype.is_bool() {
            Kind::Bool
        } else {
            Kind::Int
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype.name(), self.shape.as_slice())
    }
}
