//! The types of a recording's inputs.

use std::collections::HashMap;

use burn_backend::DType;

use crate::{
    graph::{Kind, ValueType},
    space::Place,
};

/// The tensors of a model that are inputs of its recordings.
pub(crate) struct ModelInputs {
    pub parameters: Vec<ValueType>,
    pub buffers: Vec<ValueType>,
    /// Which of them sits at which place of the model, parameters counted first and buffers after them.
    pub places: HashMap<Place, usize>,
}

impl ModelInputs {
    /// The same with floats in f64.
    pub fn in_f64(&self) -> Self {
        Self {
            parameters: in_f64(&self.parameters),
            buffers: in_f64(&self.buffers),
            places: self.places.clone(),
        }
    }
}

/// Types with f64 in place of other floats.
pub(crate) fn in_f64(types: &[ValueType]) -> Vec<ValueType> {
    let double = |ty: &ValueType| match ty.kind() {
        Kind::Float => ValueType { dtype: DType::F64, ..ty.clone() },
        Kind::Int | Kind::Bool => ty.clone(),
    };
    types.iter().map(double).collect()
}
