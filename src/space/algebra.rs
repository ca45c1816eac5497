//! Arithmetic of vectors: sums, multiples and elementwise products.

use burn_backend::{AutodiffBackend, Scalar, ops::FloatTensorOps};

use super::{
    DeviceScalar, Inner, InnerFloat, ParamVector, VectorError,
    host::{self, Accumulate},
};

/// # Arithmetic
/// Methods that take `self` by value work in place if the backend can. Every method that takes two
/// vectors fails with [`VectorError::LayoutMismatch`], [`VectorError::PrecisionMismatch`] or
/// [`VectorError::DeviceMismatch`] if they do not fit together.
#[allow(clippy::should_implement_trait)] // The operators of `std::ops` cannot fail with an error.
impl<B: AutodiffBackend> ParamVector<B> {
    /// `self + other`
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic) above.
    #[inline(never)]
    pub fn add(self, other: &Self) -> Result<Self, VectorError> {
        self.zip(other, Inner::<B>::float_add)
    }

    /// `self − other`
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic) above.
    #[inline(never)]
    pub fn sub(self, other: &Self) -> Result<Self, VectorError> {
        self.zip(other, Inner::<B>::float_sub)
    }

    /// The elementwise product.
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic) above.
    #[inline(never)]
    pub fn mul(self, other: &Self) -> Result<Self, VectorError> {
        self.zip(other, Inner::<B>::float_mul)
    }

    /// `−self`
    pub fn neg(self) -> Self {
        self.map_tensors(Inner::<B>::float_neg)
    }

    /// `factor · self`
    #[inline(never)]
    pub fn scale(self, factor: f64) -> Self {
        self.map_tensors(|tensor| Inner::<B>::float_mul_scalar(tensor, Scalar::Float(factor)))
    }

    /// `self + alpha · x`
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic) above.
    #[inline(never)]
    pub fn axpy(self, alpha: f64, x: &Self) -> Result<Self, VectorError> {
        self.combine(Some([1.0, alpha]), x, |block, x| {
            let step = Inner::<B>::float_mul_scalar(x, Scalar::Float(alpha));
            Inner::<B>::float_add(block, step)
        })
    }

    /// `factor · self`, without reading the factor.
    ///
    /// # Errors
    /// [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    #[inline(never)]
    pub fn scale_device(self, factor: &DeviceScalar<B>) -> Result<Self, VectorError> {
        factor.expect_fits(&self)?;
        Ok(self.map_tensors(|tensor| factor.times(tensor)))
    }

    /// `self + alpha · x`, without waiting for alpha.
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic) above.
    #[inline(never)]
    pub fn axpy_device(self, alpha: &DeviceScalar<B>, x: &Self) -> Result<Self, VectorError> {
        alpha.expect_fits(&self)?;
        let factors = alpha.known().map(|alpha| [1.0, alpha]);
        self.combine(factors, x, |block, x| Inner::<B>::float_add(block, alpha.times(x)))
    }

    /// `alpha · self + x`, without waiting for alpha.
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic) above.
    #[inline(never)]
    pub fn aypx_device(self, alpha: &DeviceScalar<B>, x: &Self) -> Result<Self, VectorError> {
        alpha.expect_fits(&self)?;
        let factors = alpha.known().map(|alpha| [alpha, 1.0]);
        self.combine(factors, x, |block, x| Inner::<B>::float_add(alpha.times(block), x))
    }

    /// `y = self + alpha · x`, and `yᵀx`.
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic) above.
    #[inline(never)]
    pub(crate) fn axpy_dot(
        self,
        alpha: f64,
        x: &Self,
    ) -> Result<(Self, DeviceScalar<B>), VectorError> {
        let (y, sum) =
            self.combine_and_sum(Some([1.0, alpha]), x, Accumulate::Other, |block, x| {
                let step = Inner::<B>::float_mul_scalar(x, Scalar::Float(alpha));
                Inner::<B>::float_add(block, step)
            })?;
        let sum = sum.map_or_else(|| y.dot_device(x), Ok)?;
        Ok((y, sum))
    }

    /// `y = x − alpha · self` without waiting for alpha, and `yᵀy`.
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic) above.
    #[inline(never)]
    pub(crate) fn subtracted_square(
        self,
        alpha: &DeviceScalar<B>,
        x: &Self,
    ) -> Result<(Self, DeviceScalar<B>), VectorError> {
        alpha.expect_fits(&self)?;
        let factors = alpha.known().map(|alpha| [-alpha, 1.0]);
        let (y, sum) = self.combine_and_sum(factors, x, Accumulate::Itself, |tensor, x| {
            Inner::<B>::float_sub(x, alpha.times(tensor))
        })?;
        let sum = sum.map_or_else(|| y.dot_device(&y), Ok)?;
        Ok((y, sum))
    }

    /// `self + alpha · direction`, and `beta · direction + z`, without waiting for alpha and beta.
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic) above.
    #[inline(never)]
    pub(crate) fn step_and_turn(
        mut self,
        alpha: &DeviceScalar<B>,
        mut direction: Self,
        beta: &DeviceScalar<B>,
        z: &Self,
    ) -> Result<(Self, Self), VectorError> {
        self.expect_like(&direction)?;
        self.expect_like(z)?;
        if let (Some(alpha), Some(beta)) = (alpha.known(), beta.known()) {
            let (own, others) = (self.tensors_mut(), direction.tensors_mut());
            if host::step::<Inner<B>>(own, alpha, others, beta, z.tensors()).is_some() {
                return Ok((self, direction));
            }
        }
        let moved = self.axpy_device(alpha, &direction)?;
        Ok((moved, direction.aypx_device(beta, z)?))
    }

    /// `factors[0] · self + factors[1] · other` in one pass if the factors are known and the elements are in this
    /// process's memory; otherwise by operations of the backend.
    fn combine(
        self,
        factors: Option<[f64; 2]>,
        other: &Self,
        op: impl FnMut(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
    ) -> Result<Self, VectorError> {
        let (vector, _) = self.combine_and_sum(factors, other, Accumulate::Nothing, op)?;
        Ok(vector)
    }

    /// The same, with the requested sum if the pass computed it.
    fn combine_and_sum(
        mut self,
        factors: Option<[f64; 2]>,
        other: &Self,
        sum: Accumulate,
        op: impl FnMut(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
    ) -> Result<(Self, Option<DeviceScalar<B>>), VectorError> {
        self.expect_like(other)?;
        if let Some(factors) = factors.filter(|_| self.space().is_in_memory()) {
            let (own, layout) = (self.tensors_mut(), other.layout());
            let sum = host::combine::<Inner<B>>(own, factors, other.tensors(), (sum, layout));
            if let Some(sum) = sum {
                let sum = DeviceScalar::on(sum, self.device(), self.precision());
                return Ok((self, Some(sum)));
            }
        }
        Ok((self.zip(other, op)?, None))
    }

    fn zip(
        self,
        other: &Self,
        mut op: impl FnMut(InnerFloat<B>, InnerFloat<B>) -> InnerFloat<B>,
    ) -> Result<Self, VectorError> {
        self.expect_like(other)?;
        let mut others = other.tensors().iter();
        Ok(self.map_tensors(|tensor| match others.next() {
            Some(other) => op(tensor, other.clone()),
            None => tensor,
        }))
    }
}
