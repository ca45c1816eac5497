//! Damping by a diagonal. Knows the operator by its products only.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::{Adjoint, FiniteSum, LinearOperator, SelfAdjoint, expect_square},
    space::{ParamSpace, ParamVector},
};

use super::expect_damping;

/// An operator damped by a diagonal, A + diag(d) with d ≥ 0.
///
/// # Cost
/// One product with A, and one multiply-add of the vector.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{Identity, LinearOperator, ParamSpace};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let d = space.vector(&[3.0, 5.0])?;
/// let damped = Identity::new(&space).damped_by(d.clone())?; // I + diag(3, 5)
/// assert_eq!(damped.apply(&space.ones())?.to_vec()?, [4.0, 6.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DampedBy<B: AutodiffBackend, A> {
    operator: A,
    diagonal: ParamVector<B>,
}

impl<B: AutodiffBackend, A: LinearOperator<B>> DampedBy<B, A> {
    /// `operator + diag(diagonal)`. Reads the diagonal once.
    ///
    /// # Errors
    /// [`OperatorError::Damping`](crate::OperatorError::Damping) for the first number that is negative or not finite, [`OperatorError::NotSquare`](crate::OperatorError::NotSquare),
    /// [`VectorError::LayoutMismatch`](crate::VectorError::LayoutMismatch).
    pub fn new(operator: A, diagonal: ParamVector<B>) -> Result<Self, Error> {
        expect_square(&operator)?;
        operator.domain().expect_same(diagonal.space())?;
        for damping in diagonal.to_vec()? {
            expect_damping(damping)?;
        }
        Ok(Self { operator, diagonal })
    }

    /// The damping of each number.
    pub fn diagonal(&self) -> &ParamVector<B> {
        &self.diagonal
    }

    fn add_to(
        &self,
        product: ParamVector<B>,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        Ok(product.add(&self.diagonal.clone().mul(vector)?)?)
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for DampedBy<B, A> {
    fn domain(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.add_to(self.operator.apply(vector)?, vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let products = self.operator.apply_many(vectors)?.into_iter();
        products.zip(vectors).map(|(product, vector)| self.add_to(product, vector)).collect()
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for DampedBy<B, A> {}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for DampedBy<B, A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.add_to(self.operator.apply_adjoint(vector)?, vector)
    }
}

/// The damping is in every term in full.
impl<B: AutodiffBackend, A: FiniteSum<B>> FiniteSum<B> for DampedBy<B, A> {
    fn terms(&self) -> usize {
        self.operator.terms()
    }

    fn damping(&self) -> f64 {
        self.operator.damping()
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.add_to(self.operator.apply_term(index, vector)?, vector)
    }
}
