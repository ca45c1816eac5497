//! The bridge between Burn's run-time `Tensor<D>` and a typed backend's primitives.

use burn::backend::{Dispatch, DispatchTensor};
use burn_backend::{Backend, TensorMetadata};

use super::{Operand, TensorError};

/// A backend whose primitives are reached from Burn's `Tensor<D>` and back without a copy.
///
/// Implemented for each backend switched on by a feature of this crate, and always for `Dispatch`, which means
/// 'whatever device the tensor is on'. Tensors are taken without their autodiff association.
pub trait TensorBridge: Backend {
    /// The typed primitive of a tensor that carries no autodiff association.
    fn from_dispatch(tensor: DispatchTensor) -> Result<Operand<Self>, TensorError>;

    /// The run-time tensor of a typed primitive.
    fn into_dispatch(operand: Operand<Self>) -> DispatchTensor;
}

impl TensorBridge for Dispatch {
    fn from_dispatch(tensor: DispatchTensor) -> Result<Operand<Self>, TensorError> {
        let dtype = tensor.dtype();
        if dtype.is_float() {
            Ok(Operand::Float(tensor))
        } else if dtype.is_bool() {
            Ok(Operand::Bool(tensor))
        } else if dtype.is_int() || dtype.is_uint() {
            Ok(Operand::Int(tensor))
        } else {
            Err(TensorError::Quantized)
        }
    }

    fn into_dispatch(operand: Operand<Self>) -> DispatchTensor {
        match operand {
            Operand::Float(tensor) | Operand::Int(tensor) | Operand::Bool(tensor) => tensor,
        }
    }
}

#[allow(unused_macros)] // No typed backend is switched on in a build without backend features.
macro_rules! typed_bridge {
    ($backend:ty, $name:literal) => {
        #[allow(deprecated)] // NdArray is deprecated in Burn 0.22, not gone.
        impl TensorBridge for $backend {
            fn from_dispatch(tensor: DispatchTensor) -> Result<Operand<Self>, TensorError> {
                use burn::backend::DispatchKindConversion;
                let tensor =
                    <DispatchTensor as DispatchKindConversion<$backend>>::try_into_backend(tensor)
                        .map_err(|reason| TensorError::OtherBackend {
                            expected: $name.into(),
                            reason,
                        })?;
                match tensor {
                    burn::backend::BackendTensor::Float(tensor) => Ok(Operand::Float(tensor)),
                    burn::backend::BackendTensor::Int(tensor) => Ok(Operand::Int(tensor)),
                    burn::backend::BackendTensor::Bool(tensor) => Ok(Operand::Bool(tensor)),
                    burn::backend::BackendTensor::Quantized(_) => Err(TensorError::Quantized),
                    burn::backend::BackendTensor::Autodiff(_) => Err(TensorError::OtherBackend {
                        expected: $name.into(),
                        reason: "the tensor still belongs to an autodiff device".into(),
                    }),
                }
            }

            fn into_dispatch(operand: Operand<Self>) -> DispatchTensor {
                use burn::backend::DispatchKindConversion;
                let tensor = match operand {
                    Operand::Float(tensor) => burn::backend::BackendTensor::Float(tensor),
                    Operand::Int(tensor) => burn::backend::BackendTensor::Int(tensor),
                    Operand::Bool(tensor) => burn::backend::BackendTensor::Bool(tensor),
                };
                <DispatchTensor as DispatchKindConversion<$backend>>::from_backend(tensor)
            }
        }
    };
}

#[cfg(feature = "flex")]
typed_bridge!(burn::backend::Flex, "Flex");
#[cfg(feature = "ndarray")]
typed_bridge!(burn::backend::NdArray, "NdArray");
#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
typed_bridge!(burn::backend::Cube, "Cube (wgpu, vulkan, metal, cuda, …)");
