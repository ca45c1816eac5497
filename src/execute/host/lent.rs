//! Convolutions of NdArray, run by Flex, whose kernels are many times faster. The elements are handed over and back.

use std::any::Any;

use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind, Flex};
use burn_backend::{Backend, Shape, tensor::Device};
use burn_flex::FlexTensor;
use burn_ndarray::NdArrayTensor;

use super::{access, convolution::Images, memory::Memory};
use crate::{
    execute::{ExecuteError, Operand, dispatch::apply},
    graph::{Op, ValueType},
};

/// Whether an operation is one of these. Tensors on a tape are not lent: the tape must see the operation.
pub(in super::super) fn is_lent<B: Backend>(op: &Op, inputs: &[Operand<B>]) -> bool {
    let convolution = matches!(
        op,
        Op::Conv { .. }
            | Op::ConvBackward(..)
            | Op::ConvTranspose { .. }
            | Op::ConvTransposeBackward(..)
            | Op::Unfold4d { .. }
    );
    convolution && inputs.iter().all(is_of_ndarray)
}

fn is_of_ndarray<B: Backend>(operand: &Operand<B>) -> bool {
    let Operand::Float(tensor) = operand else { return false };
    let tensor = tensor as &dyn Any;
    match tensor.downcast_ref::<DispatchTensor>() {
        Some(tensor) => {
            matches!(tensor.kind, DispatchTensorKind::NdArray(BackendTensor::Float(_)))
        }
        None => tensor.is::<NdArrayTensor>(),
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
        Ok(access::of_flex(FlexTensor::from_data(operand.into_data()?), kind))
    };
    let copies = inputs.into_iter().map(copy).collect::<Result<Vec<_>, _>>()?;
    let results = match image_by_image(op, &copies, outputs) {
        Some(result) => vec![result],
        None => apply::<Flex>(op, copies, outputs, &Default::default())?,
    };
    let back = |operand: Operand<Flex>| -> Result<Operand<B>, ExecuteError> {
        Ok(Operand::from_data(operand.into_data()?, device)?)
    };
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
