//! Vectors as plain lists of values, as Burn's `Tensor<1>`, and in another precision.

use std::sync::Arc;

use burn::Tensor;
use burn_backend::{AutodiffBackend, TensorMetadata, ops::FloatTensorOps};

use crate::tensor::TensorBridge;

use super::{
    Inner, InnerFloat, ParamError, ParamLayout, ParamSpace, ParamVector, Precision, VectorError,
    expect::{expect_device, expect_plain, expect_precision},
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
        let cast = self.map_tensors(|tensor| Inner::<B>::float_cast(tensor, precision.dtype()));
        Ok(cast.in_space(space))
    }
}

impl<B: AutodiffBackend> ParamSpace<B> {
    /// A vector of the elements of a tensor of shape `[len]`.
    ///
    /// # Errors
    /// [`VectorError::LengthMismatch`], [`VectorError::ElementType`], [`VectorError::PrecisionMismatch`],
    /// [`VectorError::DeviceMismatch`].
    #[allow(clippy::wrong_self_convention, reason = "a space makes vectors from tensors")]
    pub(crate) fn from_flat_tensor(
        &self,
        flat: InnerFloat<B>,
    ) -> Result<ParamVector<B>, VectorError> {
        expect_len::<B>(self.layout(), &flat)?;
        expect_precision(self.precision(), precision_of::<B>(self.layout(), &flat)?)?;
        expect_device(self.device(), &flat.device())?;
        Ok(ParamVector::from_flat(self.clone(), flat))
    }
}

fn expect_len<B: AutodiffBackend>(
    layout: &ParamLayout,
    flat: &InnerFloat<B>,
) -> Result<(), VectorError> {
    let found = flat.shape().to_vec();
    if found == [layout.len()] {
        return Ok(());
    }
    Err(VectorError::LengthMismatch { expected: layout.len(), found: found.iter().product() })
}

fn precision_of<B: AutodiffBackend>(
    layout: &ParamLayout,
    flat: &InnerFloat<B>,
) -> Result<Precision, VectorError> {
    Precision::of(flat.dtype()).ok_or_else(|| VectorError::ElementType {
        block: layout.name_at(0),
        found: format!("{:?}", flat.dtype()),
    })
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
        expect_len::<B>(layout, &flat)?;
        let precision = precision_of::<B>(layout, &flat)?;
        expect_plain::<B>(&flat.device())?;
        let space = ParamSpace::known(layout, &flat.device(), precision);
        Ok(Self::from_flat(space, flat))
    }
}
