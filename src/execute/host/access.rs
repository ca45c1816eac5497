//! Operands of a backend as tensors of Flex and back, without a copy: for Flex itself and for `Dispatch` on its device.

use std::any::Any;

use burn::backend::{
    BackendTensor, DispatchDevice, DispatchKindConversion, DispatchTensor, DispatchTensorKind, Flex,
};
use burn_backend::{
    Backend,
    tensor::{Device, FloatTensor},
};
use burn_flex::{FlexDevice, FlexTensor};

use crate::tensor::{Kind, Operand};

/// Whether the tensors on a device are those of Flex.
pub(super) fn is_host<B: Backend>(device: &Device<B>) -> bool {
    let device = device as &dyn Any;
    let zero = None::<FloatTensor<B>>;
    let zero = &zero as &dyn Any;
    (device.is::<FlexDevice>() && zero.is::<Option<FlexTensor>>())
        || (matches!(device.downcast_ref(), Some(DispatchDevice::Flex(_)))
            && zero.is::<Option<DispatchTensor>>())
}

/// Whether [`unwrapped`] has a tensor for an operand.
pub(super) fn is_wrapped<B: Backend>(operand: &Operand<B>) -> bool {
    lent(operand).is_some()
}

/// The tensor of Flex in an operand, which keeps it.
pub(super) fn lent<B: Backend>(operand: &Operand<B>) -> Option<&FlexTensor> {
    let tensor: &dyn Any = match operand {
        Operand::Float(tensor) => tensor,
        Operand::Int(tensor) => tensor,
        Operand::Bool(tensor) => tensor,
    };
    match tensor.downcast_ref::<DispatchTensor>().map(|tensor| &tensor.kind) {
        Some(DispatchTensorKind::Flex(
            BackendTensor::Float(tensor) | BackendTensor::Int(tensor) | BackendTensor::Bool(tensor),
        )) => Some(tensor),
        Some(_) => None,
        None => tensor.downcast_ref(),
    }
}

/// The tensor of Flex in an operand.
pub(super) fn unwrapped<B: Backend>(operand: Operand<B>) -> Option<FlexTensor> {
    match operand {
        Operand::Float(tensor) => unwrap(tensor),
        Operand::Int(tensor) => unwrap(tensor),
        Operand::Bool(tensor) => unwrap(tensor),
    }
}

fn unwrap<T: 'static>(tensor: T) -> Option<FlexTensor> {
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

/// An operand of the backend with a tensor of Flex.
pub(super) fn wrapped<B: Backend>(tensor: FlexTensor, kind: Kind) -> Option<Operand<B>> {
    Some(match kind {
        Kind::Float => Operand::Float(wrap(tensor, kind)?),
        Kind::Int => Operand::Int(wrap(tensor, kind)?),
        Kind::Bool => Operand::Bool(wrap(tensor, kind)?),
    })
}

fn wrap<T: 'static>(tensor: FlexTensor, kind: Kind) -> Option<T> {
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

/// An operand of Flex.
pub(super) fn of_flex(tensor: FlexTensor, kind: Kind) -> Operand<Flex> {
    match kind {
        Kind::Float => Operand::Float(tensor),
        Kind::Int => Operand::Int(tensor),
        Kind::Bool => Operand::Bool(tensor),
    }
}

/// A value as one of another type, which must be the same; otherwise the value itself.
fn same<T: 'static, U: 'static>(value: T) -> Result<U, Option<T>> {
    let mut value = Some(value);
    let found = (&mut value as &mut dyn Any).downcast_mut::<Option<U>>();
    match found.and_then(Option::take) {
        Some(found) => Ok(found),
        None => Err(value),
    }
}
