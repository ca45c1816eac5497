//! Between a Burn module and a vector: the layout of its trainable parameters, their values, and back.
//!
//! A parameter is identified by its `ParamId` and the places that require a gradient: a frozen clone with the same
//! identifier is a constant. A shared parameter is written to every place as one leaf; leaves are rebuilt as leaves, with
//! their flag, checkpointing strategy and device, so that the module can be trained as before.

mod buffers;
mod place;
mod read;
mod walk;
mod write;

use std::{collections::HashMap, sync::Arc};

use burn::{Tensor, backend::DispatchTensor, module::Module};
use burn_backend::{AutodiffBackend, FloatDType, TensorMetadata, ops::FloatTensorOps};

use crate::tensor::{Operand, TensorBridge, TensorError};

use super::{Inner, InnerFloat, ParamBlock, ParamError, ParamLayout, ParamVector};
pub(crate) use buffers::Buffers;
pub(in crate::space) use place::blocks;
pub(crate) use place::{FloatPlace, Place, Training, float_places};
use read::ValueReader;
pub(crate) use walk::{LocatedTensor, Replace, Visit, any_rank, off_tape, replace, visit};
use write::{Retie, Update, ValueWriter};

impl ParamLayout {
    /// The trainable parameters of a model, in the order in which Burn visits them.
    ///
    /// A parameter is trainable if it requires a gradient in the model as it is trained: a float parameter on an
    /// autodiff device that is not frozen. A frozen place is a constant, even where a trainable one has the same
    /// identifier (a frozen clone). Parameters that Burn has not initialized yet are initialized.
    ///
    /// # Errors
    /// [`ParamError::NoTrainable`] if there is none, [`ParamError::SharedShape`], [`ParamError::EmptyBlock`].
    pub fn of<M: Module>(model: &M) -> Result<Arc<Self>, ParamError> {
        Self::at(&float_places(model))
    }

    fn at(places: &[FloatPlace]) -> Result<Arc<Self>, ParamError> {
        let blocks = blocks(places)?;
        if blocks.is_empty() {
            let count = |training| places.iter().filter(|place| place.training == training).count();
            return Err(ParamError::NoTrainable {
                plain: count(Training::Unknown),
                frozen: count(Training::Frozen),
            });
        }
        Self::from_blocks(blocks)
    }

    /// Gives every place of a shared parameter the value of its first place.
    ///
    /// Burn's optimizers update only the first place of a shared parameter, so that tied weights drift apart; call this
    /// after each of their steps. (Vectors are written to every place, and need no such call.) Frozen places with the same
    /// identifier do not belong to the parameter and keep their values.
    pub fn retie<M: Module>(&self, model: &M) -> M {
        let mut retie = self.shared_at(&float_places(model));
        replace(model.clone(), &mut retie)
    }

    fn shared_at(&self, places: &[FloatPlace]) -> Retie {
        let (by_id, mut positions) = (place::by_id(places), HashMap::new());
        for (position, block) in self.blocks().iter().enumerate() {
            let own = block.id().and_then(|id| by_id.get(&id)).map_or(&[][..], Vec::as_slice);
            let held = place::places_of(block, own).unwrap_or_default();
            let Some(first) = held.first() else { continue };
            let alike = held
                .iter()
                .filter(|held| held.training == first.training && held.shape == first.shape);
            positions.extend(alike.map(|held| (held.place.clone(), position)));
        }
        Retie { positions, first: vec![None; self.blocks().len()] }
    }
}

impl<B: AutodiffBackend> ParamVector<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The values of a model's trainable parameters. Copies nothing.
    ///
    /// Reads the device only where a parameter is shared, to make sure that its places agree.
    ///
    /// # Errors
    /// Those of [`ParamLayout::of`] and [`from_module_with`](Self::from_module_with).
    pub fn from_module<M: Module>(model: &M) -> Result<Self, ParamError> {
        Self::from_module_with(&ParamLayout::of(model)?, model)
    }

    /// The values of the parameters of a layout. They may have been frozen or taken off autodiff since.
    ///
    /// # Errors
    /// [`ParamError::MissingParameter`], [`ParamError::NoIdentity`], [`ParamError::Ambiguous`],
    /// [`ParamError::TiedApart`], [`ParamError::Bridge`]; and within [`ParamError::Vector`] whatever [`from_blocks`](Self::from_blocks) finds.
    pub fn from_module_with<M: Module>(
        layout: &Arc<ParamLayout>,
        model: &M,
    ) -> Result<Self, ParamError> {
        let mut reader = ValueReader::<B>::new(layout, &float_places(model))?;
        visit(model, &mut reader);
        reader.finish()
    }

    /// A copy of the model whose parameters have the values of this vector, at every place of each.
    ///
    /// Values are converted to the element type of the parameter. Flags, identities and devices stay as they are;
    /// parameters outside the layout and frozen clones are untouched. A model that is frozen as a whole, or without
    /// autodiff, is written to by the paths of the layout.
    ///
    /// # Errors
    /// [`ParamError::MissingParameter`], [`ParamError::NoIdentity`], [`ParamError::Ambiguous`],
    /// [`ParamError::FrozenNow`] for a block that is frozen in a model that is not, [`ParamError::Bridge`];
    /// [`VectorError::BlockShape`](crate::errors::VectorError::BlockShape) and
    /// [`VectorError::DeviceMismatch`](crate::errors::VectorError::DeviceMismatch) within [`ParamError::Vector`].
    pub fn write_to<M: Module>(&self, model: &M) -> Result<M, ParamError> {
        self.update(model, Update::Value)
    }

    /// A copy of the model at θ + alpha · self: a step.
    ///
    /// The sum is computed in the element type of this vector, and for a shared parameter at its first place. Everything else is as in [`write_to`](Self::write_to).
    ///
    /// # Errors
    /// Those of [`write_to`](Self::write_to).
    ///
    /// # Example
    /// ```
    /// use burn::{backend::{Autodiff, Flex}, nn::LinearConfig, tensor::Device};
    /// use burn_curvature::ParamVector;
    ///
    /// let model = LinearConfig::new(3, 2).init(&Device::flex().autodiff());
    /// let theta = ParamVector::<Autodiff<Flex>>::from_module(&model)?;
    /// let halved = theta.add_to(&model, -0.5)?; // θ − θ/2
    /// let expected = theta.clone().scale(0.5);
    /// assert_eq!(ParamVector::from_module(&halved)?.sub(&expected)?.norm()?, 0.0);
    /// # Ok::<(), burn_curvature::Error>(())
    /// ```
    pub fn add_to<M: Module>(&self, model: &M, alpha: f64) -> Result<M, ParamError> {
        self.update(model, Update::Step(alpha))
    }

    fn update<M: Module>(&self, model: &M, update: Update) -> Result<M, ParamError> {
        let mut writer = ValueWriter::new(self, &float_places(model), update)?;
        let model = replace(model.clone(), &mut writer);
        writer.finish()?;
        Ok(model)
    }
}

/// The typed primitive of a user's tensor of any rank, without its autodiff association. Copies nothing.
pub(super) fn float_primitive<B: AutodiffBackend>(
    tensor: Tensor<1>,
) -> Result<InnerFloat<B>, TensorError>
where
    B::InnerBackend: TensorBridge,
{
    match Inner::<B>::from_dispatch(tensor.without_autodiff().into_dispatch())? {
        Operand::Float(primitive) => Ok(primitive),
        _ => Err(TensorError::Quantized),
    }
}

/// The user's tensor of a typed primitive. Copies nothing.
pub(super) fn user_tensor<B: AutodiffBackend>(primitive: InnerFloat<B>) -> DispatchTensor
where
    B::InnerBackend: TensorBridge,
{
    Inner::<B>::into_dispatch(Operand::Float(primitive))
}

/// Refuses to move what is frozen in a model where something else is not.
fn expect_trainable(
    places: &[FloatPlace],
    is_moved: impl Fn(&Place) -> bool,
) -> Result<(), ParamError> {
    let of = |training| places.iter().filter(move |place| place.training == training);
    match of(Training::Frozen).find(|place| is_moved(&place.place)) {
        Some(frozen) if of(Training::Trainable).next().is_some() => {
            Err(ParamError::FrozenNow { block: frozen.place.path.clone() })
        }
        _ => Ok(()),
    }
}

pub(super) fn expect_identities(layout: &ParamLayout) -> Result<(), ParamError> {
    match layout.blocks().iter().find(|block| block.id().is_none()) {
        None => Ok(()),
        Some(block) => Err(ParamError::NoIdentity { block: block.name().to_string() }),
    }
}

fn missing(block: &ParamBlock) -> ParamError {
    ParamError::MissingParameter { block: block.name().to_string() }
}

fn cast_to<B: AutodiffBackend>(tensor: InnerFloat<B>, dtype: FloatDType) -> InnerFloat<B> {
    if tensor.dtype() == dtype.into() { tensor } else { Inner::<B>::float_cast(tensor, dtype) }
}
