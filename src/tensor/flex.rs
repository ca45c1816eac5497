//! Tensors of Flex in those of a backend, which may be Flex itself or `Dispatch` on its device, without a copy.

use std::any::Any;

use burn::backend::{
    BackendTensor, DispatchKindConversion, DispatchTensor, DispatchTensorKind, Flex,
};
use burn_flex::FlexTensor;

use super::Kind;

/// The tensor of Flex in a tensor of a backend, which keeps it.
pub(crate) fn held(tensor: &dyn Any) -> Option<&FlexTensor> {
    match tensor.downcast_ref::<DispatchTensor>().map(|tensor| &tensor.kind) {
        Some(DispatchTensorKind::Flex(
            BackendTensor::Float(tensor) | BackendTensor::Int(tensor) | BackendTensor::Bool(tensor),
        )) => Some(tensor),
        Some(_) => None,
        None => tensor.downcast_ref(),
    }
}

/// The tensor of Flex in a tensor of a backend.
pub(crate) fn owned<T: 'static>(tensor: T) -> Option<FlexTensor> {
    match same::<T, DispatchTensor>(tensor) {
        Ok(tensor) => match tensor.kind {
            DispatchTensorKind::Flex(
                BackendTensor::Float(tensor)
                | BackendTensor::Int(tensor)
                | BackendTensor::Bool(tensor),
            ) => Some(tensor),
            _ => None,
        },
        Err(tensor) => tensor.and_then(|tensor| same(tensor).ok()),
    }
}

/// A tensor of a backend with a tensor of Flex, if the backend has such.
pub(crate) fn wrap<T: 'static>(tensor: FlexTensor, kind: Kind) -> Option<T> {
    match same(tensor) {
        Ok(tensor) => Some(tensor),
        Err(tensor) => {
            let tensor = tensor?;
            let tensor = match kind {
                Kind::Float => BackendTensor::Float(tensor),
                Kind::Int => BackendTensor::Int(tensor),
                Kind::Bool => BackendTensor::Bool(tensor),
            };
            same(<DispatchTensor as DispatchKindConversion<Flex>>::from_backend(tensor)).ok()
        }
    }
}

/// A value as one of another type, which must be the same; otherwise the value itself.
pub(crate) fn same<T: 'static, U: 'static>(value: T) -> Result<U, Option<T>> {
    let mut value = Some(value);
    let found = (&mut value as &mut dyn Any).downcast_mut::<Option<U>>();
    match found.and_then(Option::take) {
        Some(found) => Ok(found),
        None => Err(value),
    }
}
