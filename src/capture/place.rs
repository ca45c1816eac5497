//! Puts the inputs of a program in the places of a model's parameters and of a batch's tensors.

use std::collections::{HashMap, HashSet, VecDeque};

use burn::{
    backend::{DispatchKindConversion, DispatchTensor},
    module::{Flag, ModuleMapper, Param, ParamId},
    tensor::{Bool, Int, Tensor},
};
use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend, TensorMetadata, tensor::FloatTensor};
use burn_capture::CaptureBackend;

use super::BatchMapper;
use crate::tensor::Operand;

type Tape = Autodiff<CaptureBackend>;

/// Puts tensors of a backend in the places of the trainable parameters.
pub(super) struct PlaceParameters<B: Backend> {
    pub leaves: HashMap<ParamId, FloatTensor<B>>,
    /// Flags of layers that behave as during training.
    pub training: HashSet<ParamId>,
}

impl<B: Backend> ModuleMapper for PlaceParameters<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.leaves.get(&param.id) {
            Some(leaf) if leaf.rank() == D => {
                let (id, _, mapper) = param.consume();
                Param::from_mapped_value(id, Tensor::from_primitive::<B>(leaf.clone()), mapper)
            }
            _ => param,
        }
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        if self.training.contains(&flag.id) { flag.with_value(true) } else { flag }
    }
}

/// Puts the program's inputs in the places of the batch's tensors.
pub(super) struct PlaceBatch {
    pub operands: VecDeque<Operand<CaptureBackend>>,
    /// Whether a tensor is put on the tape over the recording device if that in its place is on one.
    pub on_tape: bool,
}

impl BatchMapper for PlaceBatch {
    fn map_float<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D> {
        let on_tape = self.on_tape && tensor.device().is_autodiff();
        match self.operands.pop_front() {
            Some(Operand::Float(input)) if on_tape => {
                Tensor::from_primitive::<Tape>(Tape::from_inner(input))
            }
            Some(Operand::Float(input)) => Tensor::from_primitive::<CaptureBackend>(input),
            _ => tensor,
        }
    }

    fn map_int<const D: usize>(&mut self, tensor: Tensor<D, Int>) -> Tensor<D, Int> {
        match self.operands.pop_front() {
            Some(Operand::Int(input)) => Tensor::from_primitive::<CaptureBackend>(input),
            _ => tensor,
        }
    }

    fn map_bool<const D: usize>(&mut self, tensor: Tensor<D, Bool>) -> Tensor<D, Bool> {
        match self.operands.pop_front() {
            Some(Operand::Bool(input)) => Tensor::from_primitive::<CaptureBackend>(input),
            _ => tensor,
        }
    }
}
