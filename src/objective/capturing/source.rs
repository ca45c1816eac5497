//! The source of recordings: the model, templates of batches and the closure, run again for each new shape.

use std::{
    any::{Any, TypeId, type_name},
    collections::{HashMap, HashSet},
};

use burn::{
    backend::DispatchTensor,
    module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Gradients, Tensor},
};

use super::{Mode, Structure};
use crate::{
    capture::{self, Batch, CaptureError, Captured, Choices, ModelInputs, Recording, Truths},
    derive::{self, Product},
    error::Error,
    graph::ValueType,
    objective::{BatchError, ObjectiveError},
    panics::caught,
    space::{Path, Place},
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
        truths: Truths<'_, Error>,
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
    pub templates: HashMap<Structure, X>,
    pub loss: L,
    pub choices: Choices,
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
        truths: Truths<'_, Error>,
    ) -> Result<Recording, Error> {
        let Some(template) = self.templates.get(structure) else {
            return Err(BatchError::OtherType { expected: type_name::<X>() }.into());
        };
        let (model, choices, batch) = (&self.model, &self.choices, (template, types));
        let recording =
            capture::record_loss(model, &self.inputs, batch, &self.loss, choices, truths)?;
        let Some(refusal) = recording.not_searched else {
            return Ok(recording);
        };
        // An operation without derivatives fails on the tape too, and is named here.
        derive::product(Product::Hessian, &recording.graph, recording.parameters)?;
        Err(refusal.into())
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
        let run = || backward(model, *batch, &self.loss);
        caught(run).unwrap_or_else(|message| Err(ObjectiveError::Backward { message }.into()))
    }
}

/// The loss of a model as it is, and the gradients of Burn's backward pass.
pub(super) fn backward<M, X, O: Captured>(
    model: &M,
    batch: X,
    loss: &impl Fn(&M, X) -> O,
) -> Result<(f64, Gradients), Error> {
    let (_, loss) = loss(model, batch).into_parts();
    loss.clone().into_parts()?;
    let loss = loss.into_tensor();
    if !loss.is_tracked() {
        return Err(CaptureError::IndependentLoss.into());
    }
    let gradients = loss.backward();
    let value = loss.into_data().iter::<f64>().next().unwrap_or(f64::NAN);
    Ok((value, gradients))
}

/// Whether a model is on an autodiff device.
fn is_on_tape<M: Module>(model: &M) -> bool {
    model.devices().iter().any(burn::tensor::Device::is_autodiff)
}

/// The model on an autodiff device, in the mode asked for.
pub(in crate::objective) fn tracked<M: Module>(model: &M, mode: Mode) -> M {
    match (is_on_tape(model), mode) {
        (true, Mode::AsGiven | Mode::Training) => model.clone(),
        (true, Mode::Evaluation) => model.clone().map(&mut EvaluationMode),
        (false, Mode::Training) => model.clone().train(),
        (false, Mode::AsGiven | Mode::Evaluation) => model.clone().train().map(&mut EvaluationMode),
    }
}

/// Switches off what layers do only during training.
struct EvaluationMode;

impl ModuleMapper for EvaluationMode {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

/// How many layers of a model would behave as during training.
pub(crate) fn layers_in_training_mode<M: Module>(model: &M) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_flag(&mut self, flag: &Param<Flag>) {
            self.0 += usize::from(flag.is_enabled());
        }
    }
    let mut count = Count(0);
    if is_on_tape(model) {
        model.visit(&mut count);
    }
    count.0
}

/// The layers of a model that would behave as during training, by the names of their fields and their kinds.
pub(in crate::objective) fn names_in_training_mode<M: Module>(model: &M) -> Vec<String> {
    #[derive(Default)]
    struct Find {
        path: Vec<(String, String)>,
        found: Vec<String>,
    }
    impl ModuleVisitor for Find {
        fn visit_flag(&mut self, flag: &Param<Flag>) {
            if flag.is_enabled() {
                // The last name is that of the flag itself.
                let layers = &self.path[..self.path.len().saturating_sub(1)];
                let names: Vec<_> = layers.iter().map(|(name, _)| name.as_str()).collect();
                let kind = self.path.last().map_or("", |(_, kind)| kind);
                let kind = kind.strip_prefix("Struct:").unwrap_or(kind);
                self.found.push(format!("`{}` ({kind})", names.join(".")));
            }
        }
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.path.push((name.into(), container_type.into()));
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
    }
    let mut find = Find::default();
    model.visit(&mut find);
    find.found
}

/// The flags of the layers that behave as during training.
pub(in crate::objective) fn training_flags<M: Module>(model: &M) -> HashSet<ParamId> {
    struct Flags(HashSet<ParamId>);
    impl ModuleVisitor for Flags {
        fn visit_flag(&mut self, flag: &Param<Flag>) {
            if flag.is_enabled() {
                self.0.insert(flag.id);
            }
        }
    }
    let mut flags = Flags(HashSet::new());
    model.visit(&mut flags);
    flags.0
}

/// Gives a model the buffers of a copy without autodiff again, which a forward pass in training mode has changed.
///
/// Running statistics are shared by all clones of a model, the user's included.
pub(in crate::objective) fn restore_buffers<M: Module>(model: M, plain: &M) {
    let mut collect = Restore { path: Path::default(), values: HashMap::new() };
    plain.visit(&mut collect);
    drop(model.valid()); // takes the pending updates in, so that they do not come back later
    drop(model.map(&mut collect));
}

/// Tensors of a copy without autodiff, by their places.
struct Restore {
    path: Path,
    values: HashMap<Place, DispatchTensor>,
}

impl ModuleVisitor for Restore {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.leave();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.values.insert(self.path.place(param.id), param.val().into_dispatch());
    }
}

impl ModuleMapper for Restore {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.leave();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.values.remove(&self.path.place(param.id)) {
            Some(buffer) if !param.is_require_grad() => {
                let (id, _, mapper) = param.consume();
                Param::from_mapped_value(
                    id,
                    Tensor::from_inner(Tensor::from_dispatch(buffer)),
                    mapper,
                )
            }
            _ => param,
        }
    }
}
