//! A number that stays on the device, so that an iteration does not wait for it.

use crate::tensor::DefaultBackend;
use std::{
    fmt,
    ops::{Add, Div, Mul, Sub},
};

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
    value: Value<B>,
    precision: Precision,
}

/// Where the number is.
#[derive(Clone)]
enum Value<B: AutodiffBackend> {
    /// On the device, in a tensor of shape `[1]`.
    Tensor(InnerFloat<B>),
    /// Here, for a device whose memory is this process's: a tensor would cost more than the arithmetic. Of the precision.
    Known(f64, Device<B>),
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
        if host::holds::<Inner<B>>(device) {
            let value = match precision {
                Precision::F32 => f64::from(value as f32),
                Precision::F64 => value,
            };
            return Self { value: Value::Known(value, device.clone()), precision };
        }
        Self { value: Value::Tensor(full::<B>(value, device, precision)), precision }
    }

    /// A reduction's result, of shape `[1]` or `[]`.
    pub(super) fn wrap(value: InnerFloat<B>, precision: Precision) -> Self {
        if let Some(known) = host::number::<Inner<B>>(&value) {
            return Self { value: Value::Known(known, value.device()), precision };
        }
        let value =
            if value.rank() == 1 { value } else { Inner::<B>::float_reshape(value, [1].into()) };
        Self { value: Value::Tensor(value), precision }
    }

    /// `self + other`
    ///
    /// # Errors
    /// [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    #[inline(never)]
    pub fn add(&self, other: &Self) -> Result<Self, VectorError> {
        self.combine(other, Inner::<B>::float_add, Add::add, Add::add)
    }

    /// `self − other`
    ///
    /// # Errors
    /// [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    #[inline(never)]
    pub fn sub(&self, other: &Self) -> Result<Self, VectorError> {
        self.combine(other, Inner::<B>::float_sub, Sub::sub, Sub::sub)
    }

    /// `self · other`
    ///
    /// # Errors
    /// [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    #[inline(never)]
    pub fn mul(&self, other: &Self) -> Result<Self, VectorError> {
        self.combine(other, Inner::<B>::float_mul, Mul::mul, Mul::mul)
    }

    /// `self / other`
    ///
    /// # Errors
    /// [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    #[inline(never)]
    pub fn div(&self, other: &Self) -> Result<Self, VectorError> {
        self.combine(other, Inner::<B>::float_div, Div::div, Div::div)
    }

    /// `−self`
    #[inline(never)]
    pub fn neg(&self) -> Self {
        self.map(Inner::<B>::float_neg, |x| -x, |x| -x)
    }

    /// `√self`
    #[inline(never)]
    pub fn sqrt(&self) -> Self {
        self.map(Inner::<B>::float_sqrt, f32::sqrt, f64::sqrt)
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
        match &self.value {
            Value::Known(value, _) => Ok(*value),
            Value::Tensor(tensor) => Ok(read_tensor::<B>(tensor.clone())?.into_iter().sum()),
        }
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
        let values = scalars.iter().map(|scalar| scalar.tensor()).collect();
        let transaction = TransactionPrimitive::new(values, vec![], vec![], vec![]);
        let data = waited(Inner::<B>::tr_execute(transaction))?;
        Ok(data.read_floats.iter().flat_map(TensorData::iter::<f64>).collect())
    }

    /// The number, if it is in this process's memory; waits for nothing.
    pub(super) fn known(&self) -> Option<f64> {
        match &self.value {
            Value::Known(value, _) => Some(*value),
            Value::Tensor(_) => None,
        }
    }

    /// `self · tensor` for a tensor of any shape.
    pub(super) fn times(&self, tensor: InnerFloat<B>) -> InnerFloat<B> {
        let value = match &self.value {
            Value::Known(value, _) => {
                return Inner::<B>::float_mul_scalar(tensor, Scalar::Float(*value));
            }
            Value::Tensor(value) => value.clone(),
        };
        let ones = vec![1; tensor.rank()];
        let factor = match ones.len() {
            1 => value,
            _ => Inner::<B>::float_reshape(value, ones.into()),
        };
        Inner::<B>::float_mul(tensor, factor)
    }

    pub(super) fn expect_fits(&self, vector: &ParamVector<B>) -> Result<(), VectorError> {
        expect_precision(vector.precision(), self.precision)?;
        self.expect_on(vector.device())
    }

    fn expect_like(&self, other: &Self) -> Result<(), VectorError> {
        expect_precision(self.precision, other.precision)?;
        match &self.value {
            Value::Known(_, device) => other.expect_on(device),
            Value::Tensor(tensor) => other.expect_on(&tensor.device()),
        }
    }

    fn expect_on(&self, device: &Device<B>) -> Result<(), VectorError> {
        match &self.value {
            Value::Known(_, own) => expect_device(device, own),
            Value::Tensor(tensor) => expect_device(device, &tensor.device()),
        }
    }

    fn tensor(&self) -> InnerFloat<B> {
        match &self.value {
            Value::Known(value, device) => full::<B>(*value, device, self.precision),
            Value::Tensor(tensor) => tensor.clone(),
        }
    }

    fn combine(
        &self,
        other: &Self,
        op: impl FnOnce(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
        in_f32: fn(f32, f32) -> f32,
        in_f64: fn(f64, f64) -> f64,
    ) -> Result<Self, VectorError> {
        self.expect_like(other)?;
        let value = match (&self.value, &other.value) {
            (Value::Known(x, device), Value::Known(y, _)) => {
                let value = match self.precision {
                    Precision::F32 => f64::from(in_f32(*x as f32, *y as f32)),
                    Precision::F64 => in_f64(*x, *y),
                };
                Value::Known(value, device.clone())
            }
            _ => Value::Tensor(op(self.tensor(), other.tensor())),
        };
        Ok(Self { value, precision: self.precision })
    }

    fn map(
        &self,
        op: impl FnOnce(InnerFloat<B>) -> InnerFloat<B>,
        in_f32: fn(f32) -> f32,
        in_f64: fn(f64) -> f64,
    ) -> Self {
        let value = match &self.value {
            Value::Known(x, device) => {
                let value = match self.precision {
                    Precision::F32 => f64::from(in_f32(*x as f32)),
                    Precision::F64 => in_f64(*x),
                };
                Value::Known(value, device.clone())
            }
            Value::Tensor(tensor) => Value::Tensor(op(tensor.clone())),
        };
        Self { value, precision: self.precision }
    }
}

fn full<B: AutodiffBackend>(value: f64, device: &Device<B>, precision: Precision) -> InnerFloat<B> {
    Inner::<B>::float_full([1].into(), Scalar::Float(value), device, precision.dtype())
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
