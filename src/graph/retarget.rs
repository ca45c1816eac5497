//! Rewrites the element types of a program for the backend and precision it will run in.

use burn_backend::DType;

use super::{Graph, Kind};

/// The element type of each kind that a program is to run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ElementTypes {
    /// Of float values.
    pub float: DType,
    /// Of int values.
    pub int: DType,
    /// Of bool values.
    pub bool: DType,
}

impl ElementTypes {
    /// The types a recording is made in.
    pub const RECORDED: Self = Self {
        float: DType::F32,
        int: DType::I64,
        bool: DType::Bool(burn_backend::BoolStore::U8),
    };
}

impl Graph {
    /// The same program with every value of a recorded element type in the one asked for.
    ///
    /// Values of other element types, from an explicit cast in the model, stay as they are.
    #[must_use]
    pub fn retarget(mut self, to: ElementTypes) -> Self {
        for value in &mut self.values {
            let (recorded, wanted) = match value.kind() {
                Kind::Float => (ElementTypes::RECORDED.float, to.float),
                Kind::Int => (ElementTypes::RECORDED.int, to.int),
                Kind::Bool => (ElementTypes::RECORDED.bool, to.bool),
            };
            if value.dtype == recorded {
                value.dtype = wanted;
            }
        }
        for constant in &mut self.constants {
            let wanted = self.values[constant.value.index()].dtype;
            if constant.data.dtype() != wanted {
                constant.data = constant.data.clone().convert_dtype(wanted);
            }
        }
        self
    }
}
