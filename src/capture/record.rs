//! One evaluation of a model's loss, written down as a program.

use std::collections::HashMap;

use burn::{
    backend::DispatchDevice,
    module::{Module, ModuleMapper, Param, ParamId},
    tensor::{Bool, Device, Int, Tensor},
};
use burn_backend::TensorMetadata;
use burn_capture::CaptureBackend;
use burn_router::RouterTensor;

use super::{
    Batch, BatchMapper, CaptureError, Captured,
    guards::{self, Guards, Truths},
};
use crate::{
    graph::{Graph, ValueType},
    space::{Path, Place},
    tensor::Operand,
};

type Primitive = RouterTensor<burn_capture::CaptureClient>;

/// The program of one loss. Inputs: the parameters, then the batch, then the model's buffers. Outputs: the loss, then the model's outputs
/// where the closure returned them.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// The program.
    pub graph: Graph,
    /// How many of its first inputs are parameters.
    pub parameters: usize,
    /// How many of its last inputs are buffers: tensors of the model that are no parameters.
    pub buffers: usize,
    /// Truth values that the closure read.
    pub guards: Guards,
}

/// The tensors of a model that are inputs of its recordings.
pub(crate) struct ModelInputs {
    pub parameters: Vec<ValueType>,
    pub buffers: Vec<ValueType>,
    /// Which of them sits at which place of the model, parameters counted first and buffers after them.
    pub places: HashMap<Place, usize>,
}

/// Records `loss` for parameters and batch tensors of the given types, on which `truths` evaluates what the closure reads.
pub(crate) fn record_loss<M: Module, X: Batch, O: Captured, E: From<CaptureError>>(
    model: &M,
    inputs: &ModelInputs,
    batch: (&X, &[ValueType]),
    loss: &impl Fn(&M, X) -> O,
    truths: Truths<'_, E>,
) -> Result<Recording, E> {
    let record = |scope: &mut super::Scope| {
        let device = Device::new(DispatchDevice::Capture(scope.device()));
        let (template, types) = batch;
        let mut operands: Vec<_> = inputs.parameters.iter().map(|ty| scope.input(ty)).collect();
        let batch = template.clone().map_tensors(&mut PlaceBatch {
            operands: types.iter().map(|ty| scope.input(ty)).collect(),
        });
        operands.extend(inputs.buffers.iter().map(|ty| scope.input(ty)));
        let mut place = PlaceInputs { places: &inputs.places, operands, path: Path::default() };
        // `valid`, not `clone`: clones share their running statistics, and recording replaces them.
        let model = model.valid().map(&mut place).to_device(&device);
        let (outputs, loss) = loss(&model, batch).into_parts();
        let mut results = vec![Operand::Float(scalar_loss(loss)?)];
        if let Some(outputs) = outputs {
            let outputs =
                <burn::backend::DispatchTensor as burn::backend::DispatchKindConversion<
                    CaptureBackend,
                >>::try_into_backend(outputs)
                .map_err(|found| CaptureError::OtherDevice { what: "the outputs".into(), found })?;
            results.push(Operand::Float(outputs.float()));
        }
        Ok(results)
    };
    let (graph, guards) = guards::record(record, truths)?;
    // Drops what only mentions the inputs.
    let graph = graph.without_dead_code();
    let parameters = inputs.parameters.len();
    if !graph.dependents(&graph.inputs[..parameters]).contains(&graph.outputs[0]) {
        return Err(CaptureError::IndependentLoss.into());
    }
    let buffers = inputs.buffers.len();
    Ok(Recording { graph: graph.without_dead_code(), parameters, buffers, guards })
}

fn scalar_loss(loss: Tensor<1>) -> Result<Primitive, CaptureError> {
    let shape = loss.shape();
    if shape.num_elements() != 1 {
        return Err(CaptureError::LossNotScalar { shape: shape.to_vec() });
    }
    loss.try_into_primitive::<CaptureBackend>().map_err(|error| CaptureError::OtherDevice {
        what: "the loss".into(),
        found: format!("{error:?}"),
    })
}

/// Puts the program's inputs in the places of the model's parameters and buffers.
struct PlaceInputs<'a> {
    places: &'a HashMap<Place, usize>,
    operands: Vec<Operand<CaptureBackend>>,
    path: Path,
}

impl PlaceInputs<'_> {
    fn input(&self, id: ParamId) -> Option<Operand<CaptureBackend>> {
        let position = self.places.get(&self.path.place(id))?;
        self.operands.get(*position).cloned()
    }
}

impl ModuleMapper for PlaceInputs<'_> {
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
                let input = Tensor::from_primitive::<CaptureBackend>(input);
                Param::from_mapped_value(id, input, mapper)
            }
            _ => param,
        }
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        match self.input(param.id) {
            Some(Operand::Int(input)) if input.rank() == D => {
                let (id, _, mapper) = param.consume();
                let input = Tensor::from_primitive::<CaptureBackend>(input);
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
                let input = Tensor::from_primitive::<CaptureBackend>(input);
                Param::from_mapped_value(id, input, mapper)
            }
            _ => param,
        }
    }
}

/// Puts the program's inputs in the places of the batch's tensors.
struct PlaceBatch {
    operands: std::collections::VecDeque<Operand<CaptureBackend>>,
}

impl BatchMapper for PlaceBatch {
    fn map_float<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D> {
        match self.operands.pop_front() {
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
