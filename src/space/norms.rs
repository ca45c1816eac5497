//! Scalar products and norms of vectors.

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{DeviceScalar, Inner, InnerFloat, ParamVector, VectorError, host, sums::sum};

impl<B: AutodiffBackend> ParamVector<B> {
    /// `selfᵀ other`, left on the device.
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic).
    #[inline(never)]
    pub fn dot_device(&self, other: &Self) -> Result<DeviceScalar<B>, VectorError> {
        self.expect_like(other)?;
        let (own, others) = (self.tensors(), other.tensors());
        if let Some(known) = host::dot::<Inner<B>>(own, others, self.layout()) {
            return Ok(DeviceScalar::on(known, self.device(), self.precision()));
        }
        let pairs = own.iter().zip(others);
        let parts = pairs.map(|(a, b)| sum::<B>(Inner::<B>::float_mul(a.clone(), b.clone())));
        Ok(self.total(parts.collect()))
    }

    /// `selfᵀ other`. Reads the device.
    ///
    /// # Errors
    /// See the [arithmetic](#arithmetic); [`VectorError::Read`].
    #[inline(never)]
    pub fn dot(&self, other: &Self) -> Result<f64, VectorError> {
        self.dot_device(other)?.read()
    }

    /// `selfᵀ other`, also if it overflows or underflows. Reads the device.
    ///
    /// # Errors
    /// As [`dot`](Self::dot).
    #[inline(never)]
    pub(crate) fn dot_in_range(&self, other: &Self) -> Result<f64, VectorError> {
        let found = self.dot(other)?;
        let least = self.precision().smallest_normal() / self.precision().epsilon();
        if found.is_finite() && found.abs() > least {
            return Ok(found);
        }
        let (own, others) = (self.largest()?, other.largest()?);
        if own * others == 0.0 || !(own * others).is_finite() {
            return Ok(found);
        }
        // Dividing twice keeps the reciprocal of a tiny number out of the way.
        let unit = |vector: &Self, size: f64| {
            vector.clone().scale(1.0 / size.sqrt()).scale(1.0 / size.sqrt())
        };
        Ok(own * others * unit(self, own).dot(&unit(other, others))?)
    }

    /// `‖self‖ = √(selfᵀ self)`, also if the square overflows or underflows. Reads the device.
    ///
    /// # Errors
    /// [`VectorError::Read`].
    #[inline(never)]
    pub fn norm(&self) -> Result<f64, VectorError> {
        let square = self.dot(self)?;
        if square.is_finite()
            && square > self.precision().smallest_normal() / self.precision().epsilon()
        {
            return Ok(square.sqrt());
        }
        let largest = self.largest()?;
        if largest == 0.0 || !largest.is_finite() {
            return Ok(largest);
        }
        // Dividing twice keeps the reciprocal of a tiny number out of the way.
        let root = largest.sqrt();
        let scaled = self.clone().scale(1.0 / root).scale(1.0 / root);
        Ok(largest * scaled.dot(&scaled)?.sqrt())
    }

    /// The largest absolute value, NaN if there is one. Reads the device.
    ///
    /// # Errors
    /// [`VectorError::Read`].
    #[inline(never)]
    pub fn largest(&self) -> Result<f64, VectorError> {
        let tensors = self.tensors();
        let parts =
            tensors.iter().map(|tensor| self.scalar(Inner::<B>::float_max_abs(tensor.clone())));
        let parts: Vec<_> = parts.collect();
        let values = DeviceScalar::read_many(&parts.iter().collect::<Vec<_>>())?;
        Ok(values.into_iter().fold(0.0, |largest: f64, value| {
            if value > largest || value.is_nan() { value } else { largest }
        }))
    }

    /// Checks that every element is finite. Reads one scalar, and the whole vector only if the sum of squares is not finite.
    ///
    /// # Errors
    /// [`VectorError::NonFinite`], which reports `what` the vector is and the first block at fault.
    #[inline(never)]
    pub fn expect_finite(&self, what: &str) -> Result<(), VectorError> {
        if self.dot(self)?.is_finite() {
            return Ok(());
        }
        let values = self.to_vec()?;
        let mut faults = values.iter().enumerate().filter(|(_, value)| !value.is_finite());
        match faults.next() {
            None => Ok(()),
            Some((position, _)) => Err(VectorError::NonFinite {
                what: what.to_string(),
                block: self.layout().block_at(position).to_string(),
                count: 1 + faults.count(),
            }),
        }
    }

    fn total(&self, parts: Vec<InnerFloat<B>>) -> DeviceScalar<B> {
        let total = parts.into_iter().reduce(Inner::<B>::float_add);
        match total {
            Some(total) => self.scalar(total),
            None => DeviceScalar::on(0.0, self.device(), self.precision()),
        }
    }

    fn scalar(&self, value: InnerFloat<B>) -> DeviceScalar<B> {
        DeviceScalar::wrap(value, self.precision())
    }
}
