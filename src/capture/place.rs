//! Puts the inputs of a program in the places of a model's parameters and buffers and of a batch's tensors.

use std::collections::{HashMap, HashSet, VecDeque};

use burn::{
    backend::{DispatchKindConversion, DispatchTensor},
    module::{Flag, ModuleMapper, Param, ParamId},
    tensor::{Bool, Int, Tensor},
};
use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend, TensorMetadata};
use burn_capture::CaptureBackend;

use super::BatchMapper;
use crate::{
    space::{Path, Place},
    tensor::Operand,
};

type Tape = Autodiff<CaptureBackend>;

/// Puts the program's inputs in the places of the model's parameters and buffers.
pub(super) struct PlaceInputs<'a, B: Backend> {
    pub places: &'a HashMap<Place, usize>,
    pub operands: Vec<Operand<B>>,
    /// Flags of layers that behave as during training.
    pub training: HashSet<ParamId>,
    pub path: Path,
}

impl<B: Backend> PlaceInputs<'_, B> {
    fn input(&self, id: ParamId) -> Option<Operand<B>> {
        let position = self.places.get(&self.path.place(id))?;
        self.operands.get(*position).cloned()
    }
}

impl<B: Backend> ModuleMapper for PlaceInputs<'_, B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        if self.training.contains(&flag.id) { flag.with_value(true) } else { flag }
    }

    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.leave();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.input(param.id) {
            Some(Operand::Float(input)) if input.rank() == D => {
                let (id, _, mapper) = param.consume();
                let input = Tensor::from_primitive::<B>(input);
                Param::from_mapped_value(id, input, mapper)
            }
            _ => param,
        }
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        match self.input(param.id) {
            Some(Operand::Int(input)) if input.rank() == D => {
                let (id, _, mapper) = param.consume();
                let input = Tensor::from_primitive::<B>(input);
                Param::from_mapped_value(id, input, mapper)
            }
            _ => param,
        }
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        match self.input(param.id) {
            Some(Operand::Bool(input)) if input.rank() == D => {
                let (id, _, mapper) = param.consume();
                let input = Tensor::from_primitive::<B>(input);
                Param::from_mapped_value(id, input, mapper)
            }
            _ => param,
        }
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
