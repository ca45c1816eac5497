//! Operands of a backend as tensors of Flex and back, without a copy: for Flex itself and for `Dispatch` on its device.

use std::any::Any;

use burn::backend::{DispatchDevice, DispatchTensor, Flex};
use burn_backend::{
    Backend,
    tensor::{Device, FloatTensor},
};
use burn_flex::{FlexDevice, FlexTensor};

use crate::tensor::{
    Kind, Operand,
    flex::{held, owned, wrap},
};

/// Whether the tensors on a device are those of Flex.
pub(in crate::execute) fn is_host<B: Backend>(device: &Device<B>) -> bool {
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
    match operand {
        Operand::Float(tensor) => held(tensor),
        Operand::Int(tensor) => held(tensor),
        Operand::Bool(tensor) => held(tensor),
    }
}

/// The tensor of Flex in an operand.
pub(super) fn unwrapped<B: Backend>(operand: Operand<B>) -> Option<FlexTensor> {
    match operand {
        Operand::Float(tensor) => owned(tensor),
        Operand::Int(tensor) => owned(tensor),
        Operand::Bool(tensor) => owned(tensor),
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

/// An operand of Flex.
pub(super) fn of_flex(tensor: FlexTensor, kind: Kind) -> Operand<Flex> {
    match kind {
        Kind::Float => Operand::Float(tensor),
        Kind::Int => Operand::Int(tensor),
        Kind::Bool => Operand::Bool(tensor),
    }
}
