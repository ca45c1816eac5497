//! Between a Burn module and a vector: the layout of its trainable parameters, their values, and back.
//!
//! A parameter is known by its `ParamId`. A shared parameter is written to every place as one leaf; leaves are rebuilt as
//! leaves, with their flag, checkpointing strategy and device, so that the module trains on as before.

mod collect;
mod read;
mod write;

use std::{collections::HashMap, sync::Arc};

use burn::{
    Tensor,
    module::{Module, ParamId},
};
use burn_backend::{AutodiffBackend, FloatDType, Scalar, TensorMetadata, ops::FloatTensorOps};

use crate::tensor::{Operand, TensorBridge, TensorError};

use super::{Inner, InnerFloat, ParamBlock, ParamError, ParamLayout, ParamVector};
use collect::LayoutCollector;
use read::ValueReader;
use write::{Retie, ValueWriter};

impl ParamLayout {
    /// The trainable parameters of a model, in the order in which Burn visits them.
    ///
    /// Trainable is what requires a gradient on the model as it is trained: float parameters on an autodiff device that
    /// are not frozen. Parameters that Burn has not initialized yet are initialized.
    ///
    /// # Errors
    /// [`ParamError::NoTrainable`] if there is none, [`ParamError::SharedShape`], [`ParamError::EmptyBlock`].
    pub fn of<M: Module>(model: &M) -> Result<Arc<Self>, ParamError> {
        let mut collector = LayoutCollector::default();
        model.visit(&mut collector);
        if let Some(failure) = collector.failure {
            return Err(failure);
        }
        if collector.blocks.is_empty() {
            return Err(ParamError::NoTrainable {
                plain: collector.plain,
                frozen: collector.frozen,
            });
        }
        Self::from_blocks(collector.blocks)
    }

    /// Gives every place of a shared parameter the value of its first place.
    ///
    /// Burn's optimizers update only the first place of a shared parameter, so that tied weights drift apart; call this
    /// after each of their steps. (Vectors are written to every place, and need no such call.)
    pub fn retie<M: Module>(&self, model: &M) -> M {
        model.clone().map(&mut Retie {
            first: self.blocks().iter().filter_map(ParamBlock::id).map(|id| (id, None)).collect(),
        })
    }

    /// Position of the block of each parameter.
    pub(super) fn positions(&self) -> HashMap<ParamId, usize> {
        let blocks = self.blocks().iter().enumerate();
        blocks.filter_map(|(position, block)| Some((block.id()?, position))).collect()
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

    /// The values of the parameters of a layout, which may be frozen or without autodiff by now.
    ///
    /// # Errors
    /// [`ParamError::MissingParameter`], [`ParamError::NoIdentity`], [`ParamError::TiedApart`], [`ParamError::Bridge`];
    /// and within [`ParamError::Vector`] whatever [`from_blocks`](Self::from_blocks) finds.
    pub fn from_module_with<M: Module>(
        layout: &Arc<ParamLayout>,
        model: &M,
    ) -> Result<Self, ParamError> {
        expect_identities(layout)?;
        let mut reader = ValueReader::<B> {
            layout,
            positions: layout.positions(),
            values: vec![None; layout.blocks().len()],
            path: Vec::new(),
            failure: None,
        };
        model.visit(&mut reader);
        if let Some(failure) = reader.failure {
            return Err(failure);
        }
        let values = reader.values.into_iter().zip(layout.blocks());
        let values = values.map(|(value, block)| value.ok_or_else(|| missing(block)));
        Ok(Self::from_blocks(layout, values.collect::<Result<_, _>>()?)?)
    }

    /// A copy of the model whose parameters have the values of this vector, at every place of each.
    ///
    /// Numbers are converted to the element type of the parameter. Flags, identities and devices stay as they are, and
    /// parameters outside the layout are untouched.
    ///
    /// # Errors
    /// [`ParamError::MissingParameter`], [`ParamError::NoIdentity`], [`ParamError::Bridge`];
    /// [`VectorError::BlockShape`](crate::errors::VectorError::BlockShape) and
    /// [`VectorError::DeviceMismatch`](crate::errors::VectorError::DeviceMismatch) within [`ParamError::Vector`].
    pub fn write_to<M: Module>(&self, model: &M) -> Result<M, ParamError> {
        self.update(model, |_, value| value)
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
        self.update(model, |parameter, value| {
            let parameter = cast_to::<B>(parameter, value.dtype().into());
            let step = Inner::<B>::float_mul_scalar(value, Scalar::Float(alpha));
            Inner::<B>::float_add(parameter, step)
        })
    }

    fn update<M: Module>(
        &self,
        model: &M,
        op: impl Fn(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
    ) -> Result<M, ParamError> {
        expect_identities(self.layout())?;
        let mut writer = ValueWriter {
            vector: self,
            positions: self.layout().positions(),
            planted: vec![None; self.layout().blocks().len()],
            op,
            failure: None,
        };
        let model = model.clone().map(&mut writer);
        if let Some(failure) = writer.failure {
            return Err(failure);
        }
        let mut planted = writer.planted.iter().zip(self.layout().blocks());
        match planted.find(|(planted, _)| planted.is_none()) {
            Some((_, block)) => Err(missing(block)),
            None => Ok(model),
        }
    }
}

/// The typed primitive of a user's tensor, without its autodiff association. Copies nothing.
pub(super) fn float_primitive<B: AutodiffBackend, const D: usize>(
    tensor: Tensor<D>,
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
pub(super) fn user_tensor<B: AutodiffBackend, const D: usize>(primitive: InnerFloat<B>) -> Tensor<D>
where
    B::InnerBackend: TensorBridge,
{
    Tensor::from_dispatch(Inner::<B>::into_dispatch(Operand::Float(primitive)))
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
