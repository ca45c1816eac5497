//! The source of recordings: the model, a template of the batch and the closure, run again for each new shape.

use std::collections::{HashMap, HashSet};

use burn::{
    backend::DispatchTensor,
    module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Bool, Int, Tensor},
};

use super::Mode;
use crate::{
    capture::{self, Batch, BatchMapper, Captured, Choices, Parameters, Recording, Truths},
    error::Error,
    graph::ValueType,
};

/// Records the loss for batch tensors of the given types; `truths` evaluates the truth values that the closure reads.
pub(in crate::objective) trait Source: Send {
    fn record(&self, batch: &[ValueType], truths: Truths<'_, Error>) -> Result<Recording, Error>;
}

/// A model, a batch to take the structure from, and the closure over both.
pub(in crate::objective) struct ModelSource<M, X, L> {
    pub model: M,
    pub parameters: Box<Parameters>,
    pub template: X,
    pub loss: L,
    pub choices: Choices,
}

impl<M, X, O, L> Source for ModelSource<M, X, L>
where
    M: Module,
    X: Batch + Send,
    O: Captured,
    L: Fn(&M, X) -> O + Send,
{
    fn record(&self, batch: &[ValueType], truths: Truths<'_, Error>) -> Result<Recording, Error> {
        let batch = (&self.template, batch);
        let (model, choices) = (&self.model, &self.choices);
        capture::record_loss(model, &self.parameters, batch, &self.loss, choices, truths)
    }
}

/// The model on an autodiff device, in the mode asked for.
pub(in crate::objective) fn tracked<M: Module>(model: &M, mode: Mode) -> M {
    let on_tape = model.devices().iter().any(burn::tensor::Device::is_autodiff);
    match (on_tape, mode) {
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

/// The layers of a model that would behave as during training, by the names of their fields and their kinds.
pub(in crate::objective) fn layers_in_training_mode<M: Module>(model: &M) -> Vec<String> {
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
    let mut collect = Buffers(HashMap::new());
    plain.visit(&mut collect);
    drop(model.valid()); // takes the pending updates in, so that they do not come back later
    drop(model.map(&mut collect));
}

/// Tensors of a copy without autodiff, by identifier.
struct Buffers(HashMap<ParamId, DispatchTensor>);

impl ModuleVisitor for Buffers {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.insert(param.id, param.val().into_dispatch());
    }
}

impl ModuleMapper for Buffers {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.0.remove(&param.id) {
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

/// The tensors of a batch in order, without autodiff association.
pub(in crate::objective) fn tensors<X: Batch>(batch: X) -> Vec<DispatchTensor> {
    struct Collect(Vec<DispatchTensor>);
    impl BatchMapper for Collect {
        fn map_float<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D> {
            self.0.push(tensor.clone().without_autodiff().into_dispatch());
            tensor
        }
        fn map_int<const D: usize>(&mut self, tensor: Tensor<D, Int>) -> Tensor<D, Int> {
            self.0.push(tensor.clone().without_autodiff().into_dispatch());
            tensor
        }
        fn map_bool<const D: usize>(&mut self, tensor: Tensor<D, Bool>) -> Tensor<D, Bool> {
            self.0.push(tensor.clone().without_autodiff().into_dispatch());
            tensor
        }
    }
    let mut collect = Collect(Vec::new());
    drop(batch.map_tensors(&mut collect));
    collect.0
}
