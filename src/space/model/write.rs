//! Writes values into a module and rebuilds its leaves.

use std::collections::HashMap;

use burn::{
    Tensor,
    backend::DispatchTensor,
    module::{ModuleMapper, Param, ParamId},
};
use burn_backend::{AutodiffBackend, FloatDType, TensorMetadata};

use crate::tensor::TensorBridge;

use super::super::{InnerFloat, ParamError, ParamVector, VectorError, expect::expect_device};
use super::{Path, Place, cast_to, float_primitive, user_tensor};

/// Writes new values into a module.
pub(super) struct ValueWriter<'a, B: AutodiffBackend, F> {
    pub(super) vector: &'a ParamVector<B>,
    pub(super) positions: HashMap<Place, usize>,
    pub(super) path: Path,
    /// The first place of each block, once it is written.
    pub(super) planted: Vec<Option<DispatchTensor>>,
    pub(super) op: F,
    pub(super) failure: Option<ParamError>,
}

impl<B: AutodiffBackend, F> ValueWriter<'_, B, F>
where
    B::InnerBackend: TensorBridge,
    F: Fn(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
{
    fn updated<const D: usize>(
        &self,
        position: usize,
        old: &Tensor<D>,
    ) -> Result<Tensor<D>, ParamError> {
        let old = float_primitive::<B, D>(old.clone())?;
        let blocks = self.vector.layout().blocks().get(position);
        let Some((block, value)) = blocks.zip(self.vector.blocks().get(position)) else {
            return Ok(user_tensor::<B, D>(old));
        };
        if old.shape().to_vec() != block.shape() {
            return Err(ParamError::Vector(VectorError::BlockShape {
                block: block.name().to_string(),
                expected: block.shape().to_vec(),
                found: old.shape().to_vec(),
            }));
        }
        expect_device(&old.device(), &value.device())?;
        let dtype = FloatDType::from(old.dtype());
        let new = (self.op)(old, value.clone());
        Ok(user_tensor::<B, D>(cast_to::<B>(new, dtype)))
    }
}

impl<B: AutodiffBackend, F> ModuleMapper for ValueWriter<'_, B, F>
where
    B::InnerBackend: TensorBridge,
    F: Fn(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
{
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.leave();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(position) = self.positions.get(&self.path.place(param.id)).copied() else {
            return param;
        };
        match (self.updated(position, &param.val()), self.planted.get_mut(position)) {
            (Ok(new), Some(planted)) => replant(param, new, planted),
            (Ok(_), None) => param,
            (Err(failure), _) => {
                self.failure.get_or_insert(failure);
                param
            }
        }
    }
}

/// Puts the first place of each parameter in the others.
pub(super) struct Retie {
    /// Which places hold which parameter.
    pub(super) positions: HashMap<Place, usize>,
    /// The first place of each parameter, once it is seen.
    pub(super) first: Vec<Option<DispatchTensor>>,
    pub(super) path: Path,
}

impl ModuleMapper for Retie {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.leave();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let position = self.positions.get(&self.path.place(param.id)).copied();
        match position.and_then(|position| self.first.get_mut(position)) {
            None => param,
            Some(first @ None) => {
                *first = Some(param.val().into_dispatch());
                param
            }
            Some(first) => {
                let value = first.clone().map_or_else(|| param.val(), Tensor::from_dispatch);
                replant(param, value.without_autodiff(), first)
            }
        }
    }
}

/// The parameter with a new value: a leaf again, with the flag, the checkpointing strategy and the distribution of the
/// old one. `value` carries no autodiff association.
///
/// The places of a shared parameter become one leaf, as when the model was built, so that Burn adds up their gradients:
/// `planted` is the leaf of the first place.
fn replant<const D: usize>(
    param: Param<Tensor<D>>,
    value: Tensor<D>,
    planted: &mut Option<DispatchTensor>,
) -> Param<Tensor<D>> {
    let (id, old, mapper) = param.consume();
    let first = planted.clone().map(Tensor::<D>::from_dispatch).filter(|first| {
        first.is_autodiff() == old.is_autodiff() && first.is_require_grad() == old.is_require_grad()
    });
    let new = first.unwrap_or_else(|| leaf(value, &old, id));
    planted.get_or_insert_with(|| new.clone().into_dispatch());
    Param::from_mapped_value(id, new, mapper)
}

fn leaf<const D: usize>(value: Tensor<D>, old: &Tensor<D>, id: ParamId) -> Tensor<D> {
    if !old.is_autodiff() {
        return value;
    }
    let mut new = Tensor::from_inner(value);
    if let Some(strategy) = old.gradient_checkpointing_strategy() {
        new = new.with_gradient_checkpointing_strategy(strategy);
    }
    new = new.set_require_grad(old.is_require_grad());
    if old.is_distributed() {
        new = new.set_distributed(id);
    }
    new
}
