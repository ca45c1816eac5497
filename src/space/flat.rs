//! Vectors as plain lists of values, as Burn's `Tensor<1>`, and in another precision.

use std::sync::Arc;

use burn::Tensor;
use burn_backend::{AutodiffBackend, Slice, TensorMetadata, ops::FloatTensorOps};

use crate::tensor::TensorBridge;

use super::{
    Inner, InnerFloat, ParamError, ParamLayout, ParamSpace, ParamVector, Precision, VectorError,
    model::{float_primitive, user_tensor},
    scalar::read_tensor,
};

impl<B: AutodiffBackend> ParamVector<B> {
    /// All elements in flat order. One transfer.
    ///
    /// # Errors
    /// [`VectorError::Read`].
    #[inline(never)]
    pub fn to_vec(&self) -> Result<Vec<f64>, VectorError> {
        read_tensor::<B>(self.flat_tensor())
    }

    /// The same vector in another precision; rounds to a narrower one.
    ///
    /// # Errors
    /// [`VectorError::PrecisionUnsupported`].
    #[inline(never)]
    pub fn cast(self, precision: Precision) -> Result<Self, VectorError> {
        if precision == self.precision() {
            return Ok(self);
        }
        let space = self.space().cast(precision)?;
        let blocks = self.into_blocks().into_iter();
        let blocks = blocks.map(|block| Inner::<B>::float_cast(block, precision.dtype()));
        space.from_blocks(blocks.collect())
    }

    /// One tensor of shape `[len]`, in the order of the layout.
    pub(crate) fn flat_tensor(&self) -> InnerFloat<B> {
        let layout = self.layout().blocks().iter().zip(self.blocks());
        let parts = layout
            .map(|(block, tensor)| Inner::<B>::float_reshape(tensor.clone(), [block.len()].into()));
        let mut parts: Vec<_> = parts.collect();
        match parts.len() {
            1 => parts.remove(0),
            _ => Inner::<B>::float_cat(parts, 0),
        }
    }
}

impl<B: AutodiffBackend> ParamSpace<B> {
    /// Cuts a tensor of shape `[len]` into the blocks of the layout.
    ///
    /// # Errors
    /// [`VectorError::LengthMismatch`], [`VectorError::ElementType`], [`VectorError::PrecisionMismatch`],
    /// [`VectorError::DeviceMismatch`].
    #[allow(clippy::wrong_self_convention, reason = "a space makes vectors from tensors")]
    pub(crate) fn from_flat_tensor(
        &self,
        flat: InnerFloat<B>,
    ) -> Result<ParamVector<B>, VectorError> {
        self.from_blocks(cut::<B>(self.layout(), flat)?)
    }
}

/// Cuts a tensor of shape `[len]` into the blocks of a layout.
fn cut<B: AutodiffBackend>(
    layout: &ParamLayout,
    flat: InnerFloat<B>,
) -> Result<Vec<InnerFloat<B>>, VectorError> {
    let found = flat.shape().to_vec();
    if found != [layout.len()] {
        return Err(VectorError::LengthMismatch {
            expected: layout.len(),
            found: found.iter().product(),
        });
    }
    let blocks = layout.blocks().iter().map(|block| {
        let part = if block.len() == layout.len() {
            flat.clone()
        } else {
            Inner::<B>::float_slice(flat.clone(), &[Slice::from(block.range())])
        };
        Inner::<B>::float_reshape(part, block.shape().to_vec().into())
    });
    Ok(blocks.collect())
}

impl<B: AutodiffBackend> ParamVector<B>
where
    B::InnerBackend: TensorBridge,
{
    /// All elements as one Burn tensor, without autodiff.
    ///
    /// # Shapes
    /// - output: `[len]`
    #[inline(never)]
    pub fn to_tensor(&self) -> Tensor<1> {
        Tensor::from_dispatch(user_tensor::<B>(self.flat_tensor()))
    }

    /// A vector from one Burn tensor. The autodiff association of the tensor is dropped.
    ///
    /// # Shapes
    /// - `tensor`: `[len]`
    ///
    /// # Errors
    /// [`ParamError::Bridge`] if the tensor lives on another backend; [`VectorError::LengthMismatch`] and
    /// [`VectorError::ElementType`] within [`ParamError::Vector`].
    #[inline(never)]
    pub fn from_tensor(layout: &Arc<ParamLayout>, tensor: Tensor<1>) -> Result<Self, ParamError> {
        let flat = float_primitive::<B>(tensor)?;
        Ok(Self::from_blocks(layout, cut::<B>(layout, flat)?)?)
    }
}
