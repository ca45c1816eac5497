//! One evaluation of a model's loss, written down as a program.

use std::collections::HashMap;

use burn::{
    backend::{DispatchDevice, DispatchKindConversion, DispatchTensor},
    module::{Flag, Module, ModuleMapper, Param, ParamId},
    tensor::{Bool, Device, Int, Tensor},
};
use burn_autodiff::Autodiff;
use burn_backend::{Backend, TensorMetadata, tensor::FloatTensor};
use burn_capture::CaptureBackend;
use burn_router::RouterTensor;

use super::{
    Batch, BatchMapper, CaptureError, Captured, Scope,
    guards::{self, Guards, Policy, Recorded, Truths},
    stops,
};
use crate::{
    error::Error,
    graph::{Graph, ValueType},
    tensor::Operand,
};

type Primitive = RouterTensor<burn_capture::CaptureClient>;

/// The program of one loss. Inputs: the parameters, then the batch. Outputs: the loss, then the model's outputs
/// where the closure returned them.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// The program.
    pub graph: Graph,
    /// How many of its inputs are parameters.
    pub parameters: usize,
    /// Truth values that the closure read.
    pub guards: Guards,
    /// How many random tensors of the closure were drawn once and are constants.
    pub draws: usize,
}

impl Recording {
    /// The first difference from another recording that should be the same.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let graphs = self.graph.difference(&other.graph);
        graphs.or_else(|| self.guards.graph.difference(&other.guards.graph))
    }
}

/// The trainable parameters of a recording, in order.
pub(crate) type Parameters = [(ParamId, ValueType)];

/// Records `loss` for parameters and batch tensors of the given types, on which `truths` evaluates what the closure reads.
/// Random values are drawn once from the seed, if there is one.
pub(crate) fn record_loss<M: Module, X: Batch, O: Captured>(
    model: &M,
    parameters: &Parameters,
    batch: (&X, &[ValueType]),
    loss: &impl Fn(&M, X) -> O,
    seed: Option<u64>,
    truths: Truths<'_, Error>,
) -> Result<Recording, Error> {
    let policy = Policy { parameters: parameters.len(), seed, truths };
    let forward = |scope: &mut Scope| {
        let (leaves, model, batch) = arguments(scope, model, parameters, batch);
        let (outputs, loss) = loss(&model, batch).into_parts();
        drop(leaves);
        let mut results = vec![Operand::Float(scalar_loss::<CaptureBackend>(loss)?)];
        if let Some(outputs) = outputs {
            let outputs =
                <DispatchTensor as DispatchKindConversion<CaptureBackend>>::try_into_backend(
                    outputs,
                )
                .map_err(|found| CaptureError::OtherDevice { what: "the outputs".into(), found })?;
            results.push(Operand::Float(outputs.float()));
        }
        Ok(results)
    };
    let Recorded { graph, guards, draws } = guards::record(forward, &policy)?;
    // Drops what only mentions the inputs.
    let graph = graph.without_dead_code();
    if !graph.dependents(&graph.inputs[..parameters.len()]).contains(&graph.outputs[0]) {
        return Err(CaptureError::IndependentLoss.into());
    }
    let backward = |scope: &mut Scope| {
        let (leaves, model, batch) = arguments(scope, model, parameters, batch);
        let leaves: Vec<_> = leaves.into_iter().map(|(id, leaf)| (id, stops::leaf(leaf))).collect();
        // A recording device has no training mode, and a tape over it has.
        let mut replace = Replace { leaves: leaves.iter().cloned().collect(), evaluation: true };
        let model = model.map(&mut replace);
        let (_, loss) = loss(&model, batch).into_parts();
        if !loss.is_tracked() {
            return Err(CaptureError::IndependentLoss.into());
        }
        let leaves: Vec<_> = leaves.into_iter().map(|(_, leaf)| leaf).collect();
        Ok(stops::gradients(scalar_loss::<Autodiff<CaptureBackend>>(loss)?, &leaves))
    };
    let graph = match guards::record(backward, &policy) {
        Ok(gradients) => stops::found(graph, parameters.len(), &gradients.graph)?,
        Err(error) if error.downcast_ref() == Some(&CaptureError::IndependentLoss) => {
            return Err(error);
        }
        // A model that moves tensors between devices: Burn has none for a tape over a recording.
        Err(_) => graph,
    };
    let parameters = parameters.len();
    Ok(Recording { graph: graph.without_dead_code(), parameters, guards, draws })
}

type Leaves<T> = Vec<(ParamId, T)>;

/// The parameters, and the arguments of the closure with the program's inputs in their places.
fn arguments<M: Module, X: Batch>(
    scope: &mut Scope,
    model: &M,
    parameters: &Parameters,
    (template, types): (&X, &[ValueType]),
) -> (Leaves<Primitive>, M, X) {
    let device = Device::new(DispatchDevice::Capture(scope.device()));
    let mut leaves = Vec::with_capacity(parameters.len());
    for (id, ty) in parameters {
        if let Operand::Float(tensor) = scope.input(ty) {
            leaves.push((*id, tensor));
        }
    }
    // `valid`, not `clone`: clones share their running statistics, and recording moves them to another device.
    let leaves_by_id = leaves.iter().cloned().collect();
    let mut replace = Replace::<CaptureBackend> { leaves: leaves_by_id, evaluation: false };
    let model = model.valid().map(&mut replace).to_device(&device);
    let batch = template.clone().map_tensors(&mut PlaceBatch {
        operands: types.iter().map(|ty| scope.input(ty)).collect(),
    });
    (leaves, model, batch)
}

fn scalar_loss<B: Backend>(loss: Tensor<1>) -> Result<FloatTensor<B>, CaptureError>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    let shape = loss.shape();
    if shape.num_elements() != 1 {
        return Err(CaptureError::LossNotScalar { shape: shape.to_vec() });
    }
    loss.try_into_primitive::<B>().map_err(|error| CaptureError::OtherDevice {
        what: "the loss".into(),
        found: format!("{error:?}"),
    })
}

/// Puts tensors of a backend in the places of the trainable parameters.
struct Replace<B: Backend> {
    leaves: HashMap<ParamId, FloatTensor<B>>,
    /// Whether layers are put into evaluation mode.
    evaluation: bool,
}

impl<B: Backend> ModuleMapper for Replace<B>
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
        if self.evaluation { flag.with_value(false) } else { flag }
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
