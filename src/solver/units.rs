//! Powers of two that keep the scalar products of a system within the range of its number format.
//!
//! A product with a power of two is exact, so that a solver takes the same steps in any units.

use std::cell::Cell;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::SelfAdjoint,
    space::{ParamVector, VectorError},
    tensor::Precision,
};

/// The power of two in which an operator is measured, chosen by the first product that is not zero.
pub(super) struct OperatorUnit {
    exponent: Cell<Option<i32>>,
}

impl OperatorUnit {
    /// To be chosen.
    pub(super) fn open() -> Self {
        Self { exponent: Cell::new(None) }
    }

    /// Fixed at 2ᵉ.
    pub(super) fn fixed(exponent: i32) -> Self {
        Self { exponent: Cell::new(Some(exponent)) }
    }

    /// e, and 0 as long as it is open.
    pub(super) fn exponent(&self) -> i32 {
        self.exponent.get().unwrap_or(0)
    }

    /// Chooses the unit, if it is open, from a product with a vector whose elements are about 2 to the power of `size`.
    /// Reads the device once.
    pub(super) fn choose<B: AutodiffBackend>(
        &self,
        product: &ParamVector<B>,
        size: i32,
    ) -> Result<(), VectorError> {
        if self.exponent.get().is_none()
            && let Some(found) = exponent(product.largest()?)
        {
            self.exponent.set(Some(unit(found - size, product.precision())));
        }
        Ok(())
    }

    /// A product in this unit.
    pub(super) fn of<B: AutodiffBackend>(
        &self,
        product: ParamVector<B>,
    ) -> Result<ParamVector<B>, VectorError> {
        self.choose(&product, 0)?;
        Ok(shifted(product, -self.exponent()))
    }
}

/// A preconditioner M⁻¹ in its own unit, or none.
pub(super) struct Preconditioner<'a, B: AutodiffBackend> {
    inverse: Option<&'a dyn SelfAdjoint<B>>,
    unit: OperatorUnit,
}

impl<'a, B: AutodiffBackend> Preconditioner<'a, B> {
    pub(super) fn new(inverse: Option<&'a dyn SelfAdjoint<B>>, unit: OperatorUnit) -> Self {
        Self { inverse, unit }
    }

    /// M⁻¹, as it is.
    pub(super) fn inverse(&self) -> Option<&'a dyn SelfAdjoint<B>> {
        self.inverse
    }

    /// Whether there is one.
    pub(super) fn is_some(&self) -> bool {
        self.inverse.is_some()
    }

    /// M⁻¹r, or `None` without a preconditioner.
    pub(super) fn apply(&self, r: &ParamVector<B>) -> Result<Option<ParamVector<B>>, Error> {
        let Some(inverse) = self.inverse else {
            return Ok(None);
        };
        Ok(Some(self.unit.of(inverse.apply(r)?)?))
    }

    /// The exponent of its unit, an even one.
    pub(super) fn exponent(&self) -> i32 {
        self.unit.exponent()
    }
}

/// The exponent of a unit for numbers of about 2ᵉ: 0 where their scalar products are safe, and even.
pub(super) fn unit(exponent: i32, precision: Precision) -> i32 {
    let safe = match precision {
        Precision::F32 => 16,
        Precision::F64 => 200,
    };
    if exponent.abs() <= safe { 0 } else { exponent & !1 }
}

/// e with 2ᵉ ≤ x < 2ᵉ⁺¹, for a finite x above 0.
pub(super) fn exponent(x: f64) -> Option<i32> {
    if !(x.is_finite() && x > 0.0) {
        return None;
    }
    let (x, shift) = if x < f64::MIN_POSITIVE { (x * power(64), -64) } else { (x, 0) };
    Some((x.to_bits() >> 52) as i32 - 1023 + shift)
}

/// 2ᵉ
pub(super) fn power(exponent: i32) -> f64 {
    2f64.powi(exponent)
}

/// 2ᵉ·v, in two steps where 2ᵉ itself may be out of range.
pub(super) fn shifted<B: AutodiffBackend>(v: ParamVector<B>, exponent: i32) -> ParamVector<B> {
    if exponent == 0 {
        return v;
    }
    let half = exponent / 2;
    v.scale(power(half)).scale(power(exponent - half))
}

#[cfg(test)]
mod tests {
    use super::{Precision, exponent, power, unit};

    #[test]
    fn exponents_are_those_of_powers_of_two() {
        for e in [-1074, -1023, -1022, -1, 0, 1, 52, 1023] {
            let x = if e < -1022 { f64::from_bits(1 << (e + 1074)) } else { power(e) };
            assert_eq!(exponent(x), Some(e));
        }
        assert_eq!([0.0, f64::NAN, f64::INFINITY].map(exponent), [None; 3]);
        assert_eq!(exponent(3.99), Some(1));
    }

    #[test]
    fn units_are_even_and_leave_ordinary_numbers_alone() {
        assert_eq!(
            [-17, -16, 0, 16, 17, 41].map(|e| unit(e, Precision::F32)),
            [-18, 0, 0, 0, 16, 40]
        );
        assert_eq!(unit(-300, Precision::F64), -300);
        assert_eq!(unit(40, Precision::F64), 0);
    }
}
