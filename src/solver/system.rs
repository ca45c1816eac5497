//! One system A x = b: its products, counted, and its residual.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::Products,
    operator::{Counted, SelfAdjoint},
    space::{DeviceScalar, ParamVector},
};

use super::SolverError;

/// A, b, and a count of the products with A.
pub(super) struct System<'a, B: AutodiffBackend> {
    products: Products<'a, B, dyn SelfAdjoint<B> + 'a>,
    rhs: &'a ParamVector<B>,
}

impl<'a, B: AutodiffBackend> System<'a, B> {
    /// Checks that A maps the space of b to itself.
    pub(super) fn new(
        operator: &'a dyn SelfAdjoint<B>,
        rhs: &'a ParamVector<B>,
    ) -> Result<Self, Error> {
        operator.domain().expect_same(rhs.space())?;
        Ok(Self { products: Products::square(operator)?, rhs })
    }

    /// The operator A. Its products count as those of the system.
    pub(super) fn operator(&self) -> &Counted<&'a (dyn SelfAdjoint<B> + 'a)> {
        self.products.operator()
    }

    /// The right-hand side b.
    pub(super) fn rhs(&self) -> &'a ParamVector<B> {
        self.rhs
    }

    /// Products so far.
    pub(super) fn applications(&self) -> usize {
        self.products.count()
    }

    /// Counts products that were made elsewhere.
    pub(super) fn count(&self, products: usize) {
        self.products.add(products);
    }

    /// A v
    pub(super) fn multiply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.products.multiply(vector)?;
        self.rhs.expect_like(&product)?;
        Ok(product)
    }

    /// A v and vᵀA v
    pub(super) fn multiply_with_form(
        &self,
        vector: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, DeviceScalar<B>), Error> {
        let (product, form) = self.products.multiply_with_form(vector)?;
        self.rhs.expect_like(&product)?;
        Ok((product, form))
    }

    /// An initial guess that fits b and is finite.
    pub(super) fn checked_guess(
        &self,
        guess: Option<ParamVector<B>>,
    ) -> Result<Option<ParamVector<B>>, Error> {
        if let Some(guess) = &guess {
            self.rhs.expect_like(guess)?;
            guess.expect_finite("the initial guess")?;
        }
        Ok(guess)
    }

    /// b − A x
    pub(super) fn residual(&self, x: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.multiply(x)?.neg().add(self.rhs)?)
    }

    /// b − A x and its norm.
    ///
    /// # Errors
    /// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) if the product holds NaN or infinity.
    pub(super) fn checked_residual(
        &self,
        x: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, f64), Error> {
        let residual = self.residual(x)?;
        let norm = residual.norm()?;
        if !norm.is_finite() {
            residual.expect_finite("the residual b − A x")?;
        }
        Ok((residual, norm))
    }

    /// ‖b‖ from ‖b‖², which has been read.
    ///
    /// # Errors
    /// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) if b holds NaN or infinity;
    /// [`SolverError::RightHandSideRange`] if the square leaves the range of the number format.
    pub(super) fn rhs_norm(&self, square: f64) -> Result<f64, Error> {
        let precision = self.rhs.precision();
        if square.is_finite() && square > precision.smallest_normal() / precision.epsilon() {
            return Ok(square.sqrt());
        }
        self.rhs.expect_finite("the right-hand side b")?;
        let largest = self.rhs.largest()?;
        if largest == 0.0 {
            return Ok(0.0);
        }
        Err(SolverError::RightHandSideRange { largest, precision }.into())
    }
}
