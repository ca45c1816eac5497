//! The block of an operator for some of the parameters.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{ParamSpace, ParamSubset, ParamVector},
};

use super::{Adjoint, FiniteSum, LinearOperator, SelfAdjoint, expect_square};

/// The block of an operator for some of the parameters, R·A·Rᵀ, where R keeps the selected parameters.
///
/// # Cost
/// One product with A.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::Diagonal};
///
/// let space = ParamSpace::<Autodiff<Flex>>::from_shapes([("w", [1]), ("b", [2])])?;
/// let a = Diagonal::new(space.vector(&[1.0, 2.0, 3.0])?)?;
/// let block = a.restricted(space.layout().select("b")?)?;
/// assert_eq!(block.apply(&block.domain().ones())?.to_vec()?, [2.0, 3.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Restricted<B: AutodiffBackend, A> {
    operator: A,
    subset: ParamSubset,
    /// The space of the selected parameters.
    space: ParamSpace<B>,
}

impl<B: AutodiffBackend, A: LinearOperator<B>> Restricted<B, A> {
    /// The block of `operator` for a selection of parameters.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) if the selection is from another layout,
    /// [`OperatorError::NotSquare`](crate::errors::OperatorError::NotSquare).
    pub fn new(operator: A, subset: ParamSubset) -> Result<Self, Error> {
        expect_square(&operator)?;
        let space = operator.domain().restricted(&subset)?;
        Ok(Self { operator, subset, space })
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Restricted<B, A> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.space
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply(&self.subset.embed(vector)?)?;
        Ok(self.subset.restrict(&product)?)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let embedded = vectors.iter().map(|vector| self.subset.embed(vector));
        let products = self.operator.apply_many(&embedded.collect::<Result<Vec<_>, _>>()?)?;
        let restricted = products.iter().map(|product| self.subset.restrict(product));
        Ok(restricted.collect::<Result<Vec<_>, _>>()?)
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Restricted<B, A> {}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for Restricted<B, A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply_adjoint(&self.subset.embed(vector)?)?;
        Ok(self.subset.restrict(&product)?)
    }
}

/// The block of every term.
impl<B: AutodiffBackend, A: FiniteSum<B>> FiniteSum<B> for Restricted<B, A> {
    fn terms(&self) -> usize {
        self.operator.terms()
    }

    fn damping(&self) -> f64 {
        self.operator.damping()
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply_term(index, &self.subset.embed(vector)?)?;
        Ok(self.subset.restrict(&product)?)
    }
}
