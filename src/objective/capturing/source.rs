//! The source of recordings: the model, templates of batches and the closure, run again for each new shape.

use std::{
    any::{Any, TypeId, type_name},
    collections::{HashMap, HashSet},
};

use burn::{
    backend::DispatchTensor,
    module::{Flag, Module, Param, ParamId},
    tensor::Gradients,
};

use super::{Mode, Structure};
use crate::{
    capture::{
        self, Batch, CaptureError, Captured, Choices, Closure, Loss, ModelInputs, Recording, Run,
        Truths,
    },
    derive::{self, Product},
    error::Error,
    graph::ValueType,
    objective::{BatchError, ObjectiveError},
    panics::caught,
    space::{LocatedTensor, Place, Replace, Visit, any_rank, replace, visit},
};

/// Records the loss of a model on batches.
pub(in crate::objective) trait Source: Send {
    /// Learns how a batch of a structure is put together. `false` if it is not of the closure's type.
    fn learn(&mut self, structure: &Structure, batch: &dyn Any) -> bool;

    /// Records the loss for a batch of a structure with tensors of the given types; `truths` evaluates the truth values
    /// that the closure reads.
    fn record(
        &self,
        batch: (&Structure, &[ValueType]),
        truths: Truths<'_>,
    ) -> Result<Recording, Error>;

    /// The type of the model.
    fn model(&self) -> ModelType;

    /// The loss and Burn's gradients of a model as it is, in training mode where it is in training mode.
    fn backward(&self, model: &dyn Any, batch: Box<dyn Any>) -> Result<(f64, Gradients), Error>;
}

/// The type of a model.
#[derive(Clone, Copy)]
pub(in crate::objective) struct ModelType {
    pub id: TypeId,
    pub name: &'static str,
}

impl ModelType {
    pub fn of<M: 'static>() -> Self {
        Self { id: TypeId::of::<M>(), name: type_name::<M>() }
    }
}

/// A model, batches to take the structure from, and the closure over both.
pub(in crate::objective) struct ModelSource<M, X, L> {
    pub model: M,
    pub inputs: ModelInputs,
    /// Whether the model is in f64; recordings are in f32 where they can.
    pub in_f64: bool,
    pub templates: HashMap<Structure, X>,
    pub loss: L,
    pub choices: Choices,
    /// The names of the layers in training mode.
    pub layers: Vec<String>,
}

impl<M, X, O, L> Source for ModelSource<M, X, L>
where
    M: Module + 'static,
    X: Batch,
    O: Captured,
    L: Fn(&M, X) -> O + Send,
{
    fn learn(&mut self, structure: &Structure, batch: &dyn Any) -> bool {
        let Some(batch) = batch.downcast_ref::<X>() else { return false };
        if !self.templates.contains_key(structure) {
            self.templates.insert(structure.clone(), batch.clone());
        }
        true
    }

    fn record(
        &self,
        (structure, types): (&Structure, &[ValueType]),
        truths: Truths<'_>,
    ) -> Result<Recording, Error> {
        let Some(template) = self.templates.get(structure) else {
            return Err(BatchError::OtherType { expected: type_name::<X>() }.into());
        };
        let closure = Closure { model: &self.model, batch: template, loss: &self.loss };
        let record = |inputs: &ModelInputs, types: &[ValueType]| {
            recorded(&closure, (inputs, types), &self.choices, (&self.layers, truths))
        };
        match record(&self.inputs, types) {
            // The closure of a model in f64 may name that type.
            Err(error) if self.in_f64 && names_a_type(&error) => {
                record(&self.inputs.in_f64(), &capture::in_f64(types))
            }
            made => made,
        }
    }

    fn model(&self) -> ModelType {
        ModelType::of::<M>()
    }

    fn backward(&self, model: &dyn Any, batch: Box<dyn Any>) -> Result<(f64, Gradients), Error> {
        let Some(model) = model.downcast_ref() else {
            let expected = type_name::<M>();
            return Err(ObjectiveError::OtherModel { expected, found: "another type" }.into());
        };
        let batch: Box<X> =
            batch.downcast().map_err(|_| BatchError::OtherType { expected: type_name::<X>() })?;
        let loss = caught(|| (self.loss)(model, *batch).into_parts().1);
        let failed = |message| Error::from(ObjectiveError::Backward { message });
        differentiated(loss.map_err(failed)?).map_err(failed)?
    }
}

/// Whether a closure panicked because f32 met another type.
fn names_a_type(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(CaptureError::Panicked { message }) if message.contains("DType"))
}

/// Records a closure, unless its layers in training mode change the loss or its stop-gradients cannot be found.
fn recorded(
    closure: &dyn Run,
    (inputs, types): (&ModelInputs, &[ValueType]),
    choices: &Choices,
    (layers, truths): (&[String], Truths<'_>),
) -> Result<Recording, Error> {
    let recording = capture::record_loss(closure, inputs, types, choices, truths)?;
    if recording.trains {
        return Err(CaptureError::TrainingMode { layers: layers.to_vec() }.into());
    }
    let Some(refusal) = recording.not_searched else {
        return Ok(recording);
    };
    // An operation without derivatives fails on the tape too, and is named here.
    derive::product(Product::Hessian, &recording.graph, recording.parameters)?;
    Err(refusal.into())
}

/// The value of a loss and the gradients of Burn's backward pass; a panic in it is an error with its message.
pub(super) fn differentiated(loss: Loss) -> Result<Result<(f64, Gradients), Error>, String> {
    caught(|| {
        loss.clone().into_parts()?;
        let loss = loss.into_tensor();
        if !loss.is_tracked() {
            return Err(CaptureError::IndependentLoss.into());
        }
        // A parameter that is the loss itself has no node on the tape to begin a second pass from; its product with one has.
        let gradients = (loss.clone() * 1.0).backward();
        let value = loss.into_data().iter::<f64>().next().unwrap_or(f64::NAN);
        Ok((value, gradients))
    })
}

/// Whether a model is on an autodiff device.
fn is_on_tape<M: Module>(model: &M) -> bool {
    model.devices().iter().any(burn::tensor::Device::is_autodiff)
}

/// The model on an autodiff device, in the mode asked for.
pub(in crate::objective) fn tracked<M: Module>(model: &M, mode: Mode) -> M {
    match (is_on_tape(model), mode) {
        (true, Mode::AsGiven | Mode::Training) => model.clone(),
        (true, Mode::Evaluation) => replace(model.clone(), &mut EvaluationMode),
        (false, Mode::Training) => model.clone().train(),
        (false, Mode::AsGiven | Mode::Evaluation) => {
            replace(model.clone().train(), &mut EvaluationMode)
        }
    }
}

/// Switches off what layers do only during training.
struct EvaluationMode;

impl Replace for EvaluationMode {
    fn tensor(&mut self, _found: LocatedTensor<'_>) -> Option<DispatchTensor> {
        None
    }

    fn flag(&mut self, _id: ParamId) -> Option<bool> {
        Some(false)
    }
}

/// How many layers of a model would behave as during training.
pub(crate) fn layers_in_training_mode<M: Module>(model: &M) -> usize {
    if is_on_tape(model) { InTraining::of(model).layers.len() } else { 0 }
}

/// The layers of a model that behave as during training.
#[derive(Default)]
pub(in crate::objective) struct InTraining {
    /// By the names of their fields and their kinds.
    pub layers: Vec<String>,
    pub flags: HashSet<ParamId>,
}

impl InTraining {
    pub fn of<M: Module>(model: &M) -> Self {
        let mut found = Self::default();
        visit(model, &mut found);
        found
    }
}

impl Visit for InTraining {
    fn flag(&mut self, flag: &Param<Flag>, path: &[(String, String)]) {
        if !flag.is_enabled() {
            return;
        }
        // The last name is that of the flag itself.
        let layers = &path[..path.len().saturating_sub(1)];
        let names: Vec<_> = layers.iter().map(|(name, _)| name.as_str()).collect();
        let kind = path.last().map_or("", |(_, kind)| kind);
        let kind = kind.strip_prefix("Struct:").unwrap_or(kind);
        self.layers.push(format!("`{}` ({kind})", names.join(".")));
        self.flags.insert(flag.id);
    }
}

/// Gives a model the buffers of a copy without autodiff again, which a forward pass in training mode has changed.
///
/// Running statistics are shared by all clones of a model, the user's included.
pub(in crate::objective) fn restore_buffers<M: Module>(model: M, plain: &M) {
    let mut collect = Restore { values: HashMap::new() };
    visit(plain, &mut collect);
    drop(model.valid()); // takes the pending updates in, so that they do not come back later
    drop(replace(model, &mut collect));
}

/// Tensors of a copy without autodiff, by their places.
struct Restore {
    values: HashMap<Place, DispatchTensor>,
}

impl Visit for Restore {
    fn tensor(&mut self, found: LocatedTensor<'_>) {
        if let Some(value) = found.float() {
            self.values.insert(found.place(), value.into_dispatch());
        }
    }
}

impl Replace for Restore {
    fn tensor(&mut self, found: LocatedTensor<'_>) -> Option<DispatchTensor> {
        let buffer = self.values.remove(&found.place())?;
        let is_buffer = !found.float()?.is_require_grad();
        is_buffer.then(|| any_rank(buffer).autodiff().into_dispatch())
    }
}
