//! Writes values into a module and rebuilds its leaves.

use std::collections::HashMap;

use burn::{Tensor, backend::DispatchTensor, module::ParamId};
use burn_backend::{AutodiffBackend, FloatDType, Scalar, TensorMetadata, ops::FloatTensorOps};

use crate::tensor::TensorBridge;

use super::super::{
    Inner, InnerFloat, ParamError, ParamVector, VectorError, expect::expect_device,
};
use super::{
    FloatPlace, LocatedTensor, Place, Replace, any_rank, cast_to, expect_identities,
    expect_trainable, float_primitive, missing, user_tensor,
};

/// How a parameter changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Update {
    /// The vector's value.
    Value,
    /// Its own value and a multiple of the vector's.
    Step(f64),
}

/// Writes new values into a module.
pub(super) struct ValueWriter<'a, B: AutodiffBackend> {
    vector: &'a ParamVector<B>,
    positions: HashMap<Place, usize>,
    /// The first place of each block, once it is written.
    planted: Vec<Option<DispatchTensor>>,
    update: Update,
    failure: Option<ParamError>,
}

impl<'a, B: AutodiffBackend> ValueWriter<'a, B>
where
    B::InnerBackend: TensorBridge,
{
    /// A writer for a model with float tensors in the given places.
    #[inline(never)]
    pub(super) fn new(
        vector: &'a ParamVector<B>,
        places: &[FloatPlace],
        update: Update,
    ) -> Result<Self, ParamError> {
        let layout = vector.layout();
        expect_identities(layout)?;
        let positions = layout.positions_in(places)?;
        expect_trainable(places, |place| positions.contains_key(place))?;
        let planted = vec![None; layout.blocks().len()];
        Ok(Self { vector, positions, planted, update, failure: None })
    }

    /// Checks that everything was written.
    #[inline(never)]
    pub(super) fn finish(self) -> Result<(), ParamError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let mut planted = self.planted.iter().zip(self.vector.layout().blocks());
        match planted.find(|(planted, _)| planted.is_none()) {
            Some((_, block)) => Err(missing(block)),
            None => Ok(()),
        }
    }

    fn new_value(&self, parameter: InnerFloat<B>, value: InnerFloat<B>) -> InnerFloat<B> {
        let Update::Step(alpha) = self.update else { return value };
        let parameter = cast_to::<B>(parameter, value.dtype().into());
        let step = Inner::<B>::float_mul_scalar(value, Scalar::Float(alpha));
        Inner::<B>::float_add(parameter, step)
    }

    fn updated(&self, position: usize, old: &Tensor<1>) -> Result<Tensor<1>, ParamError> {
        let old = float_primitive::<B>(old.clone())?;
        let blocks = self.vector.layout().blocks().get(position);
        let Some((block, value)) = blocks.zip(self.vector.blocks().get(position)) else {
            return Ok(any_rank(user_tensor::<B>(old)));
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
        let new = self.new_value(old, value.clone());
        Ok(any_rank(user_tensor::<B>(cast_to::<B>(new, dtype))))
    }
}

impl<B: AutodiffBackend> Replace for ValueWriter<'_, B>
where
    B::InnerBackend: TensorBridge,
{
    #[inline(never)]
    fn tensor(&mut self, found: LocatedTensor<'_>) -> Option<DispatchTensor> {
        let position = self.positions.get(&found.place()).copied()?;
        let old = found.float()?;
        match (self.updated(position, &old), self.planted.get_mut(position)) {
            (Ok(new), Some(planted)) => Some(replanted(found.id, old, new, planted)),
            (Ok(_), None) => None,
            (Err(failure), _) => {
                self.failure.get_or_insert(failure);
                None
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
}

impl Replace for Retie {
    fn tensor(&mut self, found: LocatedTensor<'_>) -> Option<DispatchTensor> {
        let position = self.positions.get(&found.place()).copied()?;
        let (first, old) = (self.first.get_mut(position)?, found.float()?);
        let Some(value) = first.clone() else {
            *first = Some(old.into_dispatch());
            return None;
        };
        Some(replanted(found.id, old, any_rank(value).without_autodiff(), first))
    }
}

/// A parameter's new value: a leaf again, with the flag, the checkpointing strategy and the distribution of the old one.
/// `value` carries no autodiff association. All are of any rank.
///
/// The places of a shared parameter become one leaf, as when the model was built, so that Burn adds up their gradients:
/// `planted` is the leaf of the first place.
fn replanted(
    id: ParamId,
    old: Tensor<1>,
    value: Tensor<1>,
    planted: &mut Option<DispatchTensor>,
) -> DispatchTensor {
    let first = planted.clone().filter(|first| {
        let first = any_rank(first.clone());
        first.is_autodiff() == old.is_autodiff() && first.is_require_grad() == old.is_require_grad()
    });
    let new = first.unwrap_or_else(|| leaf(value, &old, id).into_dispatch());
    planted.get_or_insert_with(|| new.clone());
    new
}

/// A leaf with the value of one tensor and the flags of another.
pub(super) fn leaf(value: Tensor<1>, old: &Tensor<1>, id: ParamId) -> Tensor<1> {
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
