//! A tensor of any kind on a typed backend.

use burn_backend::{
    Backend, DType, FloatDType, IntDType, Shape, TensorData, TensorMetadata, get_device_settings,
    tensor::{BoolTensor, Device, FloatTensor, IntTensor},
    try_read_sync,
};

use super::{Kind, TensorError, ValueType, has_shape};

/// A float, int or bool tensor of backend `B`.
#[derive(Clone, Debug)]
pub enum Operand<B: Backend> {
    /// Floating-point elements.
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

    /// Whether the dimensions have these sizes.
    pub(crate) fn has_shape(&self, shape: &[usize]) -> bool {
        match self {
            Operand::Float(tensor) => has_shape(tensor, shape),
            Operand::Int(tensor) => has_shape(tensor, shape),
            Operand::Bool(tensor) => has_shape(tensor, shape),
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

    /// The device of the elements.
    pub(crate) fn device(&self) -> Device<B> {
        match self {
            Operand::Float(tensor) => tensor.device(),
            Operand::Int(tensor) => tensor.device(),
            Operand::Bool(tensor) => tensor.device(),
        }
    }

    /// Float, int or bool.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Operand::Float(_) => Kind::Float,
            Operand::Int(_) => Kind::Int,
            Operand::Bool(_) => Kind::Bool,
        }
    }

    /// Shape and element type.
    pub(crate) fn value_type(&self) -> ValueType {
        ValueType { shape: self.shape(), dtype: self.dtype() }
    }

    /// The tensor of a float operand.
    ///
    /// # Errors
    /// [`TensorError::Kind`] where it holds something else.
    pub fn into_float(self) -> Result<FloatTensor<B>, TensorError> {
        match self {
            Operand::Float(tensor) => Ok(tensor),
            other => Err(other.wrong_kind(Kind::Float)),
        }
    }

    /// The tensor of an int operand.
    ///
    /// # Errors
    /// [`TensorError::Kind`] where it holds something else.
    pub fn into_int(self) -> Result<IntTensor<B>, TensorError> {
        match self {
            Operand::Int(tensor) => Ok(tensor),
            other => Err(other.wrong_kind(Kind::Int)),
        }
    }

    /// The truth values of a bool operand.
    ///
    /// # Errors
    /// [`TensorError::Kind`] where it holds something else.
    pub fn into_bool(self) -> Result<BoolTensor<B>, TensorError> {
        match self {
            Operand::Bool(tensor) => Ok(tensor),
            other => Err(other.wrong_kind(Kind::Bool)),
        }
    }

    fn wrong_kind(&self, expected: Kind) -> TensorError {
        TensorError::Kind { expected: expected.name().into(), found: self.value_type().to_string() }
    }

    /// The operand in the element types of a device: its default for integers, a chosen one for floats.
    pub(crate) fn stored_on(self, device: &Device<B>, float: FloatDType) -> Self {
        let int: IntDType = get_device_settings::<B>(device).int_dtype;
        match self {
            Operand::Float(tensor) if tensor.dtype() != float.into() => {
                Operand::Float(B::float_cast(tensor, float))
            }
            Operand::Int(tensor) if tensor.dtype() != int.into() => {
                Operand::Int(B::int_cast(tensor, int))
            }
            other => other,
        }
    }

    /// Uploads data; its element type decides the kind.
    pub(crate) fn from_data(data: TensorData, device: &Device<B>) -> Result<Self, TensorError> {
        let dtype = data.dtype();
        if dtype.is_float() {
            Ok(Operand::Float(B::float_from_data(data, device)))
        } else if dtype.is_bool() {
            Ok(Operand::Bool(B::bool_from_data(data, device)))
        } else if dtype.is_int() || dtype.is_uint() {
            Ok(Operand::Int(B::int_from_data(data, device)))
        } else {
            Err(TensorError::Kind {
                expected: "float, int or bool".into(),
                found: dtype.name().into(),
            })
        }
    }

    /// Reads the elements back; waits for the device.
    pub(crate) fn into_data(self) -> Result<TensorData, TensorError> {
        let read = match self {
            Operand::Float(tensor) => try_read_sync(B::float_into_data(tensor)),
            Operand::Int(tensor) => try_read_sync(B::int_into_data(tensor)),
            Operand::Bool(tensor) => try_read_sync(B::bool_into_data(tensor)),
        };
        read.ok_or_else(|| "the platform cannot wait for the device".to_string())
            .and_then(|result| result.map_err(|error| error.to_string()))
            .map_err(|message| TensorError::Read { message })
    }
}
