//! Puts the inputs of a program in the places of a model's parameters and buffers and of a batch's tensors.

use std::collections::{HashMap, HashSet, VecDeque};

use burn::{
    backend::{BackendTensor, DispatchKindConversion, DispatchTensor},
    module::ParamId,
    tensor::{Bool, Int, Tensor},
};
use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend};
use burn_capture::CaptureBackend;

use super::BatchMapper;
use crate::{
    space::{LocatedTensor, Place, Replace},
    tensor::{Kind, Operand},
};

type Tape = Autodiff<CaptureBackend>;

/// Puts the program's inputs in the places of the model's parameters and buffers.
pub(super) struct PlaceInputs<'a, B: Backend> {
    pub places: &'a HashMap<Place, usize>,
    pub operands: Vec<Operand<B>>,
    /// Flags of layers that behave as during training.
    pub training: HashSet<ParamId>,
}

impl<B: Backend> Replace for PlaceInputs<'_, B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    fn tensor(&mut self, found: LocatedTensor<'_>) -> Option<DispatchTensor> {
        let position = self.places.get(&found.place())?;
        let (kind, input) = match self.operands.get(*position).cloned()? {
            Operand::Float(input) => (Kind::Float, BackendTensor::Float(input)),
            Operand::Int(input) => (Kind::Int, BackendTensor::Int(input)),
            Operand::Bool(input) => (Kind::Bool, BackendTensor::Bool(input)),
        };
        let fits = kind == found.kind;
        fits.then(|| <DispatchTensor as DispatchKindConversion<B>>::from_backend(input))
    }

    fn flag(&mut self, id: ParamId) -> Option<bool> {
        self.training.contains(&id).then_some(true)
    }
}

/// Puts the program's inputs in the places of the batch's tensors.
pub(crate) struct PlaceBatch {
    pub operands: VecDeque<Operand<CaptureBackend>>,
    /// Whether a tensor is put on the tape over the recording device if the one that it replaces is on a tape. So are
    /// integers and truth values, since floats computed from them are on the same device.
    pub on_tape: bool,
}

impl BatchMapper for PlaceBatch {
    #[inline(never)]
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

    #[inline(never)]
    fn map_int<const D: usize>(&mut self, tensor: Tensor<D, Int>) -> Tensor<D, Int> {
        let on_tape = self.on_tape && tensor.device().is_autodiff();
        match self.operands.pop_front() {
            Some(Operand::Int(input)) if on_tape => Tensor::from_primitive::<Tape>(input),
            Some(Operand::Int(input)) => Tensor::from_primitive::<CaptureBackend>(input),
            _ => tensor,
        }
    }

    #[inline(never)]
    fn map_bool<const D: usize>(&mut self, tensor: Tensor<D, Bool>) -> Tensor<D, Bool> {
        let on_tape = self.on_tape && tensor.device().is_autodiff();
        match self.operands.pop_front() {
            Some(Operand::Bool(input)) if on_tape => Tensor::from_primitive::<Tape>(input),
            Some(Operand::Bool(input)) => Tensor::from_primitive::<CaptureBackend>(input),
            _ => tensor,
        }
    }
}
