//! Convolutions of NdArray, run by Flex, whose kernels are many times faster. The elements are handed over and back: those of
//! a program that convolves once, for all of its operations; otherwise those of each convolution.

use std::any::Any;

use burn::backend::{BackendTensor, DispatchDevice, DispatchTensor, DispatchTensorKind, Flex};
use burn_backend::{Backend, DType, Element, Shape, TensorData, tensor::Device};
use burn_flex::FlexTensor;
use burn_ndarray::{NdArrayDevice, NdArrayTensor};

use super::{access, convolution::Images, memory::Memory, number::Number};
use crate::{
    execute::{ExecuteError, Operand, dispatch::apply},
    graph::{Graph, Kind, Op, ValueType},
    tensor::spare,
};

/// Whether a program is run by Flex as a whole: it convolves, on NdArray, and returns no truth values, which the two store
/// in ways of their own.
pub(super) fn is_lent_whole<B: Backend>(graph: &Graph, device: &Device<B>) -> bool {
    let device = device as &dyn Any;
    let own = match device.downcast_ref::<DispatchDevice>() {
        Some(device) => matches!(device, DispatchDevice::NdArray(_)),
        None => device.is::<NdArrayDevice>(),
    };
    let mut outputs = graph.outputs.iter();
    own && graph.nodes.iter().any(|node| is_convolution(&node.op))
        && outputs.all(|&value| graph.value(value).kind() != Kind::Bool)
}

/// The elements of an operand of NdArray, if it is one, as a tensor of Flex.
pub(super) fn copied<B: Backend>(operand: &Operand<B>) -> Option<FlexTensor> {
    let in_order = in_order(of_ndarray(operand)?);
    in_order.or_else(|| Some(FlexTensor::from_data(operand.clone().into_data().ok()?)))
}

/// A copy of elements that lie in order, which NdArray itself makes one by one.
fn in_order(tensor: &NdArrayTensor) -> Option<FlexTensor> {
    Some(match tensor {
        NdArrayTensor::F32(all) => copy(all.view().as_slice()?, all.shape(), DType::F32),
        NdArrayTensor::F64(all) => copy(all.view().as_slice()?, all.shape(), DType::F64),
        NdArrayTensor::I32(all) => fresh(all.view().as_slice()?, all.shape()),
        NdArrayTensor::I64(all) => fresh(all.view().as_slice()?, all.shape()),
        _ => return None,
    })
}

/// Elements in memory that was left by an earlier copy, if there is such.
fn copy<N: Number>(all: &[N], shape: &[usize], dtype: DType) -> FlexTensor {
    let mut again = spare::take(&Shape::from(shape.to_vec()), dtype);
    match again.as_mut().and_then(N::memory_mut) {
        Some(to) if to.len() == all.len() => to.copy_from_slice(all),
        _ => return fresh(all, shape),
    }
    again.unwrap_or_else(|| fresh(all, shape))
}

fn fresh<E: Element>(all: &[E], shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(all.to_vec(), shape.to_vec()))
}

/// An operand with the elements of a tensor of Flex.
pub(super) fn returned<B: Backend>(
    tensor: FlexTensor,
    device: &Device<B>,
) -> Result<Operand<B>, ExecuteError> {
    Ok(Operand::from_data(tensor.into_data(), device)?)
}

fn is_convolution(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv { .. }
            | Op::ConvBackward(..)
            | Op::ConvTranspose { .. }
            | Op::ConvTransposeBackward(..)
            | Op::Unfold4d { .. }
    )
}

/// Whether an operation is run by Flex. Tensors on a tape are not lent: the tape must see the operation.
pub(in super::super) fn is_lent<B: Backend>(op: &Op, inputs: &[Operand<B>]) -> bool {
    let floats = inputs.iter().all(|operand| operand.kind() == Kind::Float);
    is_convolution(op) && floats && inputs.iter().all(|operand| of_ndarray(operand).is_some())
}

fn of_ndarray<B: Backend>(operand: &Operand<B>) -> Option<&NdArrayTensor> {
    let tensor: &dyn Any = match operand {
        Operand::Float(tensor) => tensor,
        Operand::Int(tensor) => tensor,
        Operand::Bool(tensor) => tensor,
    };
    match tensor.downcast_ref::<DispatchTensor>().map(|tensor| &tensor.kind) {
        Some(DispatchTensorKind::NdArray(
            BackendTensor::Float(tensor) | BackendTensor::Int(tensor) | BackendTensor::Bool(tensor),
        )) => Some(tensor),
        Some(_) => None,
        None => tensor.downcast_ref(),
    }
}

/// Runs an operation on copies of its operands.
pub(in super::super) fn lent<B: Backend>(
    op: &Op,
    inputs: Vec<Operand<B>>,
    outputs: &[ValueType],
    device: &Device<B>,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    let copy = |operand: Operand<B>| -> Result<Operand<Flex>, ExecuteError> {
        let kind = operand.kind();
        let tensor = match copied(&operand) {
            Some(tensor) => tensor,
            None => FlexTensor::from_data(operand.into_data()?),
        };
        Ok(access::of_flex(tensor, kind))
    };
    let copies = inputs.into_iter().map(copy).collect::<Result<Vec<_>, _>>()?;
    let results = match image_by_image(op, &copies, outputs) {
        Some(result) => vec![result],
        None => apply::<Flex>(op, copies, outputs, &Default::default())?,
    };
    let back = |operand: Operand<Flex>| Ok(Operand::from_data(operand.into_data()?, device)?);
    results.into_iter().map(back).collect()
}

fn image_by_image(
    op: &Op,
    operands: &[Operand<Flex>],
    outputs: &[ValueType],
) -> Option<Operand<Flex>> {
    let [result] = outputs else { return None };
    let tensor = |position: usize| match operands.get(position) {
        Some(Operand::Float(tensor)) => Some(tensor),
        _ => None,
    };
    let shapes: Vec<Shape> = operands.iter().map(Operand::shape).collect();
    let images = Images::new(op, &shapes.iter().collect::<Vec<_>>(), result)?;
    let operands = [tensor(images.source())?, tensor(1)?];
    let memory = (&mut Memory::default(), 0);
    Some(Operand::Float(images.run(operands, &result.shape, memory)?))
}
