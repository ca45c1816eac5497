//! One evaluation of a model's loss, written down as a program.

use std::{cell::RefCell, collections::HashSet};

use burn::{
    backend::{DispatchDevice, DispatchKindConversion, DispatchTensor},
    module::ParamId,
    tensor::{Device, Tensor},
};
use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend, tensor::FloatTensor};
use burn_capture::CaptureBackend;

use super::{
    CaptureError, Divisor, Run, Scope,
    guards::{self, Guards, Policy, Recorded, Truths},
    inputs::ModelInputs,
    place::{PlaceBatch, PlaceInputs},
    stops,
};
use crate::{
    error::Error,
    graph::{Graph, ValueType},
    space::Replace,
    tensor::Operand,
};

/// Burn's tape over the recording device, where gradients and training mode are.
type Tape = Autodiff<CaptureBackend>;

/// The program of one loss. Inputs: the parameters, then the batch, then the model's buffers. Outputs: the loss, then the
/// model's outputs where the closure returned them.
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
    /// How many random tensors of the closure were drawn once and are constants.
    pub draws: usize,
    /// What the closure states that the loss is divided by; a weight is a program of the same inputs.
    pub divisor: Divisor<Graph>,
    /// Why the closure could not be searched for stop-gradients, where that matters.
    pub not_searched: Option<CaptureError>,
    /// Whether layers that were to be as they are given change the loss in training mode.
    pub trains: bool,
}

impl Recording {
    /// The first difference from another recording that should be the same.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let graphs = self.graph.difference(&other.graph);
        graphs.or_else(|| self.guards.graph.difference(&other.guards.graph))
    }
}

/// What becomes of layers and values that differ from call to call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choices {
    /// The seed of random values that are drawn once; without one they are refused.
    pub seed: Option<u64>,
    /// The layers recorded as training runs them, by their flags.
    pub training: HashSet<ParamId>,
    /// The layers in training mode that are recorded in evaluation mode, by their flags: they must not change the loss.
    pub as_given: HashSet<ParamId>,
    /// Whether a closure that cannot be searched for stop-gradients is taken to have none.
    pub unsearched: bool,
}

/// Records a loss for parameters and batch tensors of the given types, on which `truths` evaluates what the closure reads.
pub(crate) fn record_loss(
    closure: &dyn Run,
    inputs: &ModelInputs,
    batch: &[ValueType],
    choices: &Choices,
    truths: Truths<'_>,
) -> Result<Recording, Error> {
    let (parameters, buffers) = (inputs.parameters.len(), inputs.buffers.len());
    let policy = Policy { parameters, seed: choices.seed, truths };
    let stated = RefCell::new(Divisor::Unstated);
    let place = Arguments { closure, inputs, batch, choices, stated: &stated };
    let on_tape = || guards::record(&mut |scope| place.on_tape(scope), &policy);
    let in_training = !choices.training.is_empty();
    let (recorded, gradients, trains) = if !in_training {
        let plain = guards::record(&mut |scope| place.plain(scope), &policy)?;
        let both = on_tape();
        let trains = place.trains(&policy, both.as_ref().ok());
        (plain, both.map(|both| split(&both.graph, parameters).1), trains)
    } else {
        let both = on_tape()?;
        let (graph, gradients) = split(&both.graph, parameters);
        (Recorded { graph, ..both }, Ok(gradients), false)
    };
    let Recorded { graph, guards, draws } = recorded;
    let (graph, divisor) = divided(graph, *stated.borrow(), parameters)?;
    // Drops what only mentions the inputs.
    let graph = graph.without_dead_code();
    if !graph.dependents(&graph.inputs[..parameters]).contains(&graph.outputs[0]) {
        return Err(CaptureError::IndependentLoss.into());
    }
    let mut not_searched = None;
    let graph = match gradients {
        Ok(gradients) => stops::found(graph, (parameters, buffers), &gradients, in_training)?,
        Err(error) if error.downcast_ref() == Some(&CaptureError::IndependentLoss) => {
            return Err(error);
        }
        Err(error) => {
            let message = error.to_string();
            not_searched = (!choices.unsearched).then_some(CaptureError::NotSearched { message });
            graph
        }
    };
    let graph = graph.without_dead_code();
    Ok(Recording { graph, parameters, buffers, guards, draws, divisor, not_searched, trains })
}

/// The program of the loss, and that of the weight it is divided by, of one that returns the weight last if there is one.
fn divided(
    mut graph: Graph,
    stated: Divisor<()>,
    parameters: usize,
) -> Result<(Graph, Divisor<Graph>), CaptureError> {
    let divisor = stated.map(|()| {
        let weight = graph.outputs.split_off(graph.outputs.len().saturating_sub(1));
        graph.returning(weight)
    });
    if let Divisor::Weight(weight) = &divisor {
        let dependent = weight.dependents(&weight.inputs[..parameters]);
        if weight.outputs.iter().any(|weight| dependent.contains(weight)) {
            return Err(CaptureError::WeightDependsOnParameters);
        }
    }
    Ok((graph, divisor))
}

/// The loss, with the outputs if there are any, and the gradients, of a program that returns all of them.
fn split(both: &Graph, parameters: usize) -> (Graph, Graph) {
    let (values, gradients) = both.outputs.split_at(both.outputs.len().saturating_sub(parameters));
    (both.returning(values.to_vec()), both.returning(gradients.to_vec()))
}

/// The arguments of a closure, to be placed on a recording device.
struct Arguments<'a> {
    closure: &'a dyn Run,
    inputs: &'a ModelInputs,
    batch: &'a [ValueType],
    choices: &'a Choices,
    /// What the closure states that the loss is divided by, where it returns a weight last.
    stated: &'a RefCell<Divisor<()>>,
}

impl Arguments<'_> {
    /// Runs the closure on the recording device; returns the loss, and the outputs if there are any.
    fn plain(&self, scope: &mut Scope) -> Result<Vec<Operand<CaptureBackend>>, Error> {
        let (operands, batch) = self.declare(scope, false);
        let mut plain = self.place(operands);
        let (outputs, loss) = self.closure.run(batch, &device(scope), &mut [&mut plain]);
        let (loss, divisor) = loss.into_parts()?;
        let mut results = vec![Operand::Float(scalar::<CaptureBackend>(loss, "the loss")?)];
        if let Some(outputs) = outputs {
            results.push(Operand::Float(float::<CaptureBackend>(outputs, "the outputs")?));
        }
        self.stated.replace(divisor.as_ref().map(|_| ()));
        if let Divisor::Weight(weight) = divisor {
            results.push(Operand::Float(scalar::<CaptureBackend>(weight, WEIGHT)?));
        }
        Ok(results)
    }

    /// Runs the closure and its backward pass on a tape over the recording device; returns also the gradients.
    fn on_tape(&self, scope: &mut Scope) -> Result<Vec<Operand<CaptureBackend>>, Error> {
        let in_training = !self.choices.training.is_empty();
        let (operands, batch) = self.declare(scope, in_training);
        let parameters = operands.iter().take(self.inputs.parameters.len());
        let leaves: Vec<_> = parameters
            .filter_map(|operand| match operand {
                Operand::Float(tensor) => Some(stops::leaf(tensor.clone())),
                Operand::Int(_) | Operand::Bool(_) => None,
            })
            .collect();
        let mut place = PlaceInputs::<Tape> {
            places: &self.inputs.places,
            operands: leaves.iter().cloned().map(Operand::Float).collect(),
            training: self.choices.training.clone(),
        };
        let mut plain = self.place(operands);
        let places: &mut [&mut dyn Replace] = &mut [&mut plain, &mut place];
        let (outputs, loss) = self.closure.run(batch, &device(scope), places);
        let (loss, divisor) = loss.into_parts()?;
        if !loss.is_tracked() {
            return Err(CaptureError::IndependentLoss.into());
        }
        let loss = scalar::<Tape>(loss, "the loss")?;
        let mut results = vec![Operand::Float(Tape::inner(loss.clone()))];
        if let (Some(outputs), true) = (outputs, in_training) {
            results.push(Operand::Float(below(outputs, "the outputs")?));
        }
        if in_training {
            self.stated.replace(divisor.as_ref().map(|_| ()));
            if let Divisor::Weight(weight) = divisor {
                results.push(Operand::Float(below(weight.into_dispatch(), WEIGHT)?));
            }
        }
        results.extend(stops::gradients(loss, &leaves));
        Ok(results)
    }

    /// Whether layers in training mode change the program of the loss, which is recorded in evaluation mode.
    fn trains(&self, policy: &Policy<'_>, evaluated: Option<&Recorded>) -> bool {
        if self.choices.as_given.is_empty() {
            return false;
        }
        let Some(evaluated) = evaluated else { return true };
        // Random values that both draw are the same; masks are constants that only one has.
        let seed = policy.seed.or(Some(0));
        let training = self.choices.as_given.clone();
        let choices = Choices { seed, training, ..Choices::default() };
        let stated = RefCell::new(Divisor::Unstated);
        let place = Arguments { choices: &choices, stated: &stated, ..*self };
        let policy = Policy { seed, ..*policy };
        let trained = guards::record(&mut |scope| place.on_tape(scope), &policy);
        let of_loss = |graph: &Graph| graph.returning(vec![graph.outputs[0]]).without_dead_code();
        !trained.is_ok_and(|trained| {
            of_loss(&trained.graph).difference(&of_loss(&evaluated.graph)).is_none()
        })
    }

    /// The parameters and buffers, and the batch, on a tape where its tensors are on one.
    fn declare(
        &self,
        scope: &mut Scope,
        on_tape: bool,
    ) -> (Vec<Operand<CaptureBackend>>, PlaceBatch) {
        let ModelInputs { parameters, buffers, .. } = self.inputs;
        let mut operands: Vec<_> = parameters.iter().map(|ty| scope.input(ty)).collect();
        let batch = self.batch.iter().map(|ty| scope.input(ty)).collect();
        operands.extend(buffers.iter().map(|ty| scope.input(ty)));
        (operands, PlaceBatch { operands: batch, on_tape })
    }

    /// Parameters and buffers for their places.
    fn place(&self, operands: Vec<Operand<CaptureBackend>>) -> PlaceInputs<'_, CaptureBackend> {
        PlaceInputs { places: &self.inputs.places, operands, training: HashSet::new() }
    }
}

/// The device that is recorded on.
fn device(scope: &Scope) -> Device {
    Device::new(DispatchDevice::Capture(scope.device()))
}

fn float<B: Backend>(tensor: DispatchTensor, what: &str) -> Result<FloatTensor<B>, CaptureError>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    let typed = <DispatchTensor as DispatchKindConversion<B>>::try_into_backend(tensor);
    let typed = typed.map_err(|found| CaptureError::OtherDevice { what: what.into(), found })?;
    Ok(typed.float())
}

/// The tensor below the tape. One that is not on it, such as a result of a batch without autodiff alone, is that already.
fn below(tensor: DispatchTensor, what: &str) -> Result<FloatTensor<CaptureBackend>, CaptureError> {
    match float::<Tape>(tensor.clone(), what) {
        Ok(on_tape) => Ok(Tape::inner(on_tape)),
        Err(_) => float::<CaptureBackend>(tensor, what),
    }
}

/// For messages.
const WEIGHT: &str = "the weight of the loss";

fn scalar<B: Backend>(tensor: Tensor<1>, what: &str) -> Result<FloatTensor<B>, CaptureError>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    float::<B>(tensor.into_dispatch(), what)
}
