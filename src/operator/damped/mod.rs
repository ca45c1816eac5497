//! Operators with something added to their diagonal. Knows the operator by its products only.

mod by_diagonal;
mod per_block;

pub use by_diagonal::DampedBy;
pub use per_block::DampedPerBlock;

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamLayout, ParamVector},
};

use super::{Adjoint, FiniteSum, LinearOperator, OperatorError, SelfAdjoint, expect_square};

/// A damped operator, A + λI with λ ≥ 0.
///
/// Damping raises every eigenvalue by λ. With λ above the most negative one, a symmetric A becomes positive definite.
///
/// # Cost
/// One product with A, and one multiply-add of the vector.
#[derive(Debug, Clone)]
pub struct Damped<A> {
    operator: A,
    damping: f64,
}

impl<A> Damped<A> {
    /// `operator + damping · I`
    ///
    /// # Errors
    /// [`OperatorError::Damping`] if the damping is negative or not finite, [`OperatorError::NotSquare`].
    pub fn new<B>(operator: A, damping: f64) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: LinearOperator<B>,
    {
        expect_damping(damping)?;
        expect_square(&operator)?;
        Ok(Self { operator, damping })
    }

    /// The damping λ.
    pub fn damping(&self) -> f64 {
        self.damping
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Damped<A> {
    fn domain(&self) -> &Arc<ParamLayout> {
        self.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply(vector)?;
        if self.damping == 0.0 {
            return Ok(product);
        }
        Ok(product.axpy(self.damping, vector)?)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let products = self.operator.apply_many(vectors)?;
        if self.damping == 0.0 {
            return Ok(products);
        }
        let pairs = products.into_iter().zip(vectors);
        pairs.map(|(product, vector)| Ok(product.axpy(self.damping, vector)?)).collect()
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Damped<A> {
    fn apply_with_quadratic_form(
        &self,
        vector: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, DeviceScalar<B>), Error> {
        if self.damping == 0.0 {
            return self.operator.apply_with_quadratic_form(vector);
        }
        let product = self.operator.apply(vector)?;
        Ok(product.axpy_dot(self.damping, vector)?)
    }
}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for Damped<A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply_adjoint(vector)?;
        Ok(product.axpy(self.damping, vector)?)
    }
}

/// The damping is in every term in full: the mean of Aᵢ + λI is A + λI.
impl<B: AutodiffBackend, A: FiniteSum<B>> FiniteSum<B> for Damped<A> {
    fn terms(&self) -> usize {
        self.operator.terms()
    }

    fn damping(&self) -> f64 {
        self.operator.damping() + self.damping
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply_term(index, vector)?;
        Ok(product.axpy(self.damping, vector)?)
    }
}

/// Checks that a damping is finite and not negative.
pub(crate) fn expect_damping(found: f64) -> Result<(), OperatorError> {
    if found.is_finite() && found >= 0.0 {
        return Ok(());
    }
    Err(OperatorError::Damping { found })
}
