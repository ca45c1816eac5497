//! One evaluation of a model's loss, written down as a program.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use burn::{
    backend::{DispatchDevice, DispatchKindConversion, DispatchTensor},
    module::{Module, ParamId},
    tensor::{Device, Tensor},
};
use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend, tensor::FloatTensor};
use burn_capture::CaptureBackend;

use super::{
    Batch, CaptureError, Captured, Divisor, Scope,
    guards::{self, Guards, Policy, Recorded, Truths},
    place::{PlaceBatch, PlaceInputs},
    stops,
};
use crate::{
    error::Error,
    graph::{Graph, ValueType},
    space::{Place, replace},
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

/// The tensors of a model that are inputs of its recordings.
pub(crate) struct ModelInputs {
    pub parameters: Vec<ValueType>,
    pub buffers: Vec<ValueType>,
    /// Which of them sits at which place of the model, parameters counted first and buffers after them.
    pub places: HashMap<Place, usize>,
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

/// Records `loss` for parameters and batch tensors of the given types, on which `truths` evaluates what the closure reads.
pub(crate) fn record_loss<M: Module, X: Batch, O: Captured>(
    model: &M,
    inputs: &ModelInputs,
    batch: (&X, &[ValueType]),
    loss: &impl Fn(&M, X) -> O,
    choices: &Choices,
    truths: Truths<'_, Error>,
) -> Result<Recording, Error> {
    let (parameters, buffers) = (inputs.parameters.len(), inputs.buffers.len());
    let policy = Policy { parameters, seed: choices.seed, truths };
    let stated = RefCell::new(Divisor::Unstated);
    let place = Arguments { model, inputs, batch, choices, stated: &stated };
    let on_tape = || guards::record(|scope: &mut Scope| place.on_tape(scope, loss), &policy);
    let in_training = !choices.training.is_empty();
    let (recorded, gradients, trains) = if !in_training {
        let plain = guards::record(|scope: &mut Scope| place.plain(scope, loss), &policy)?;
        let both = on_tape();
        let trains = place.trains(loss, &policy, both.as_ref().ok());
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
struct Arguments<'a, M, X> {
    model: &'a M,
    inputs: &'a ModelInputs,
    batch: (&'a X, &'a [ValueType]),
    choices: &'a Choices,
    /// What the closure states that the loss is divided by, where it returns a weight last.
    stated: &'a RefCell<Divisor<()>>,
}

impl<M: Module, X: Batch> Arguments<'_, M, X> {
    /// Runs the closure on the recording device; returns the loss, and the outputs if there are any.
    fn plain<O: Captured>(
        &self,
        scope: &mut Scope,
        loss: &impl Fn(&M, X) -> O,
    ) -> Result<Vec<Operand<CaptureBackend>>, Error> {
        let (operands, batch) = self.declare(scope, false);
        let model = self.model(scope, operands);
        let (outputs, loss) = loss(&model, batch).into_parts();
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
    fn on_tape<O: Captured>(
        &self,
        scope: &mut Scope,
        loss: &impl Fn(&M, X) -> O,
    ) -> Result<Vec<Operand<CaptureBackend>>, Error> {
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
        let model = replace(self.model(scope, operands), &mut place);
        let (outputs, loss) = loss(&model, batch).into_parts();
        let (loss, divisor) = loss.into_parts()?;
        if !loss.is_tracked() {
            return Err(CaptureError::IndependentLoss.into());
        }
        let loss = scalar::<Tape>(loss, "the loss")?;
        let mut results = vec![Operand::Float(Tape::inner(loss.clone()))];
        if let (Some(outputs), true) = (outputs, in_training) {
            results.push(Operand::Float(Tape::inner(float::<Tape>(outputs, "the outputs")?)));
        }
        if in_training {
            self.stated.replace(divisor.as_ref().map(|_| ()));
            if let Divisor::Weight(weight) = divisor {
                results.push(Operand::Float(Tape::inner(scalar::<Tape>(weight, WEIGHT)?)));
            }
        }
        results.extend(stops::gradients(loss, &leaves));
        Ok(results)
    }

    /// Whether layers in training mode change the program of the loss, which is recorded in evaluation mode.
    fn trains<O: Captured>(
        &self,
        loss: &impl Fn(&M, X) -> O,
        policy: &Policy<'_, Error>,
        evaluated: Option<&Recorded>,
    ) -> bool {
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
        let trained = guards::record(|scope: &mut Scope| place.on_tape(scope, loss), &policy);
        let of_loss = |graph: &Graph| graph.returning(vec![graph.outputs[0]]).without_dead_code();
        !trained.is_ok_and(|trained| {
            of_loss(&trained.graph).difference(&of_loss(&evaluated.graph)).is_none()
        })
    }

    /// The parameters and buffers, and the batch, on a tape where its tensors are on one.
    fn declare(&self, scope: &mut Scope, on_tape: bool) -> (Vec<Operand<CaptureBackend>>, X) {
        let (template, types) = self.batch;
        let ModelInputs { parameters, buffers, .. } = self.inputs;
        let mut operands: Vec<_> = parameters.iter().map(|ty| scope.input(ty)).collect();
        let batch = types.iter().map(|ty| scope.input(ty)).collect();
        let batch = template.clone().map_tensors(&mut PlaceBatch { operands: batch, on_tape });
        operands.extend(buffers.iter().map(|ty| scope.input(ty)));
        (operands, batch)
    }

    /// The model with its parameters and buffers in their places.
    fn model(&self, scope: &Scope, operands: Vec<Operand<CaptureBackend>>) -> M {
        let device = Device::new(DispatchDevice::Capture(scope.device()));
        let mut place = PlaceInputs::<CaptureBackend> {
            places: &self.inputs.places,
            operands,
            training: HashSet::new(),
        };
        // `valid`, not `clone`: clones share their running statistics, and recording replaces them.
        replace(self.model.valid(), &mut place).to_device(&device)
    }
}

fn float<B: Backend>(tensor: DispatchTensor, what: &str) -> Result<FloatTensor<B>, CaptureError>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    let typed = <DispatchTensor as DispatchKindConversion<B>>::try_into_backend(tensor);
    let typed = typed.map_err(|found| CaptureError::OtherDevice { what: what.into(), found })?;
    Ok(typed.float())
}

/// For messages.
const WEIGHT: &str = "the weight of the loss";

fn scalar<B: Backend>(tensor: Tensor<1>, what: &str) -> Result<FloatTensor<B>, CaptureError>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    float::<B>(tensor.into_dispatch(), what)
}
