//! The block of an operator for some of the parameters. Knows the operator by its products only.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{ParamLayout, ParamSubset, ParamVector},
};

use super::{Adjoint, FiniteSum, LinearOperator, SelfAdjoint, expect_square};

/// The block of an operator for some of the parameters, R·A·Rᵀ, where R keeps the selected parameters.
///
/// # Cost
/// One product with A.
#[derive(Debug, Clone)]
pub struct Restricted<A> {
    operator: A,
    subset: ParamSubset,
}

impl<A> Restricted<A> {
    /// The block of `operator` for a selection of parameters.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::VectorError::LayoutMismatch) if the selection is from another layout,
    /// [`OperatorError::NotSquare`](crate::OperatorError::NotSquare).
    pub fn new<B>(operator: A, subset: ParamSubset) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: LinearOperator<B>,
    {
        expect_square(&operator)?;
        operator.domain().expect_same(subset.whole())?;
        Ok(Self { operator, subset })
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Restricted<A> {
    fn domain(&self) -> &Arc<ParamLayout> {
        self.subset.layout()
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

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Restricted<A> {}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for Restricted<A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.operator.apply_adjoint(&self.subset.embed(vector)?)?;
        Ok(self.subset.restrict(&product)?)
    }
}

/// The block of every term.
impl<B: AutodiffBackend, A: FiniteSum<B>> FiniteSum<B> for Restricted<A> {
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
