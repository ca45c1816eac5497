//! A number that stays on the device, so that an iteration does not wait for it.

use crate::tensor::DefaultBackend;
use std::fmt;

use burn_backend::{
    AutodiffBackend, ExecutionError, Scalar, TensorData, TensorMetadata,
    ops::{FloatTensorOps, TransactionOps, TransactionPrimitive},
    tensor::Device,
    try_read_sync,
};

use super::{
    Inner, InnerFloat, ParamVector, Precision, VectorError,
    expect::{expect_device, expect_precision, expect_supported},
    host,
};

/// One number on the device.
///
/// Arithmetic queues work on the device and does not wait for it; [`read_many`](Self::read_many) brings several numbers
/// back in one transfer. Division by zero and the like follow IEEE arithmetic.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{DeviceScalar, ParamSpace};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(3)?;
/// let x = space.vector(&[1., 2., 2.])?;
/// let square = x.dot_device(&x)?;             // on the device
/// let norm = square.sqrt();                   // on the device
/// assert_eq!(DeviceScalar::read_many(&[&square, &norm])?, [9.0, 3.0]); // one transfer
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Clone)]
pub struct DeviceScalar<B: AutodiffBackend = DefaultBackend> {
    /// Shape `[1]`.
    value: InnerFloat<B>,
    precision: Precision,
}

#[allow(clippy::should_implement_trait)] // The operators of `std::ops` cannot fail with an error.
impl<B: AutodiffBackend> DeviceScalar<B> {
    /// Puts a number on a device.
    ///
    /// # Errors
    /// [`VectorError::PrecisionUnsupported`].
    #[inline(never)]
    pub fn new(value: f64, device: &Device<B>, precision: Precision) -> Result<Self, VectorError> {
        expect_supported::<B>(device, precision)?;
        Ok(Self::on(value, device, precision))
    }

    /// A number on a device that is known to compute in the precision.
    #[inline(never)]
    pub(crate) fn on(value: f64, device: &Device<B>, precision: Precision) -> Self {
        let value =
            Inner::<B>::float_full([1].into(), Scalar::Float(value), device, precision.dtype());
        Self { value, precision }
    }

    /// A reduction's result, of shape `[1]` or `[]`.
    pub(super) fn wrap(value: InnerFloat<B>, precision: Precision) -> Self {
        let value =
            if value.rank() == 1 { value } else { Inner::<B>::float_reshape(value, [1].into()) };
        Self { value, precision }
    }

    /// `self + other`
    ///
    /// # Errors
    /// [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    #[inline(never)]
    pub fn add(&self, other: &Self) -> Result<Self, VectorError> {
        self.combine(other, Inner::<B>::float_add)
    }

    /// `self − other`
    ///
    /// # Errors
    /// [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    #[inline(never)]
    pub fn sub(&self, other: &Self) -> Result<Self, VectorError> {
        self.combine(other, Inner::<B>::float_sub)
    }

    /// `self · other`
    ///
    /// # Errors
    /// [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    #[inline(never)]
    pub fn mul(&self, other: &Self) -> Result<Self, VectorError> {
        self.combine(other, Inner::<B>::float_mul)
    }

    /// `self / other`
    ///
    /// # Errors
    /// [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    #[inline(never)]
    pub fn div(&self, other: &Self) -> Result<Self, VectorError> {
        self.combine(other, Inner::<B>::float_div)
    }

    /// `−self`
    #[inline(never)]
    pub fn neg(&self) -> Self {
        self.map(Inner::<B>::float_neg)
    }

    /// `√self`
    #[inline(never)]
    pub fn sqrt(&self) -> Self {
        self.map(Inner::<B>::float_sqrt)
    }

    /// Floating-point format of the number.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Brings the number to the host.
    ///
    /// # Errors
    /// [`VectorError::Read`].
    #[inline(never)]
    pub fn read(&self) -> Result<f64, VectorError> {
        Ok(read_tensor::<B>(self.value.clone())?.into_iter().sum())
    }

    /// Brings several numbers to the host in one transfer.
    ///
    /// # Errors
    /// [`VectorError::Read`]; [`VectorError::PrecisionMismatch`] and [`VectorError::DeviceMismatch`] between them.
    #[inline(never)]
    pub fn read_many(scalars: &[&Self]) -> Result<Vec<f64>, VectorError> {
        let Some((first, rest)) = scalars.split_first() else {
            return Ok(Vec::new());
        };
        for other in rest {
            first.expect_like(other)?;
        }
        if let Some(known) = scalars.iter().map(|scalar| scalar.known()).collect() {
            return Ok(known);
        }
        let values = scalars.iter().map(|scalar| scalar.value.clone()).collect();
        let transaction = TransactionPrimitive::new(values, vec![], vec![], vec![]);
        let data = waited(Inner::<B>::tr_execute(transaction))?;
        Ok(data.read_floats.iter().flat_map(TensorData::iter::<f64>).collect())
    }

    /// The number, if it is in this process's memory; waits for nothing.
    pub(super) fn known(&self) -> Option<f64> {
        host::number::<Inner<B>>(&self.value)
    }

    /// `self · tensor` for a tensor of any shape.
    pub(super) fn times(&self, tensor: InnerFloat<B>) -> InnerFloat<B> {
        let ones = vec![1; tensor.rank()];
        let factor = match ones.len() {
            1 => self.value.clone(),
            _ => Inner::<B>::float_reshape(self.value.clone(), ones.into()),
        };
        Inner::<B>::float_mul(tensor, factor)
    }

    pub(super) fn expect_fits(&self, vector: &ParamVector<B>) -> Result<(), VectorError> {
        expect_precision(vector.precision(), self.precision)?;
        expect_device(vector.device(), &self.value.device())
    }

    fn expect_like(&self, other: &Self) -> Result<(), VectorError> {
        expect_precision(self.precision, other.precision)?;
        expect_device(&self.value.device(), &other.value.device())
    }

    fn combine(
        &self,
        other: &Self,
        op: impl FnOnce(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
    ) -> Result<Self, VectorError> {
        self.expect_like(other)?;
        Ok(Self { value: op(self.value.clone(), other.value.clone()), precision: self.precision })
    }

    fn map(&self, op: impl FnOnce(InnerFloat<B>) -> InnerFloat<B>) -> Self {
        Self { value: op(self.value.clone()), precision: self.precision }
    }
}

/// The precision; the number is not read.
impl<B: AutodiffBackend> fmt::Debug for DeviceScalar<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceScalar").field("precision", &self.precision).finish_non_exhaustive()
    }
}

/// All elements of a tensor, in one transfer.
pub(crate) fn read_tensor<B: AutodiffBackend>(
    tensor: InnerFloat<B>,
) -> Result<Vec<f64>, VectorError> {
    if let Some(elements) = host::elements::<Inner<B>>(&tensor) {
        return Ok(elements);
    }
    let data = waited(Inner::<B>::float_into_data(tensor))?;
    // Slices are read many times faster than an iterator over any element type.
    Ok(match data.as_slice::<f32>() {
        Ok(elements) => elements.iter().copied().map(f64::from).collect(),
        Err(_) => data.iter::<f64>().collect(),
    })
}

/// What a read brings, once it is there.
fn waited<T>(read: impl Future<Output = Result<T, ExecutionError>>) -> Result<T, VectorError> {
    let failed = |message: String| VectorError::Read { message };
    try_read_sync(read)
        .ok_or_else(|| failed("this platform cannot wait for a device".into()))?
        .map_err(|error| failed(format!("{error:?}")))
}
