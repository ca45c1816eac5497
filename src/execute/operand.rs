//! A tensor of any kind on a typed backend.

use burn_backend::{
    Backend, DType, Shape, TensorMetadata,
    tensor::{BoolTensor, FloatTensor, IntTensor},
};

/// A float, int or bool tensor of backend `B`.
#[derive(Clone, Debug)]
pub enum Operand<B: Backend> {
    /// Floating-point numbers.
    Float(FloatTensor<B>),
    /// Integers.
    Int(IntTensor<B>),
    /// Truth values.
    Bool(BoolTensor<B>),
}

impl<B: Backend> Operand<B> {
    /// Size of each dimension.
    pub fn shape(&self) -> Shape {
        match self {
            Operand::Float(tensor) => tensor.shape(),
            Operand::Int(tensor) => tensor.shape(),
            Operand::Bool(tensor) => tensor.shape(),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Operand::Float(tensor) => tensor.dtype(),
            Operand::Int(tensor) => tensor.dtype(),
            Operand::Bool(tensor) => tensor.dtype(),
        }
    }

    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Operand::Float(_) => "float",
            Operand::Int(_) => "int",
            Operand::Bool(_) => "bool",
        }
    }
}
