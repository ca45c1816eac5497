//! The mean of a list of operators, as a finite sum. Knows its terms by their products only.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{ParamLayout, ParamVector},
};

use super::{Adjoint, FiniteSum, LinearOperator, OperatorError, SelfAdjoint, expect_square};

/// The mean of operators, 1/n · Σ Aᵢ, of which stochastic solvers apply one at a time.
///
/// # Cost
/// One product with each term; a term alone costs one product with it.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{Diagonal, FiniteSum, LinearOperator, Mean, ParamLayout, ParamVector, Precision};
///
/// let layout = ParamLayout::flat(2)?;
/// let x = ParamVector::<Autodiff<Flex>>::full(&layout, 1.0, &Default::default(), Precision::F64)?;
/// let terms = [[1.0, 0.0], [0.0, 3.0]].map(|d| Ok(Diagonal::new(x.from_vec_like(&d)?)));
/// let mean = Mean::new(terms.into_iter().collect::<Result<Vec<_>, burn_curvature::Error>>()?)?;
/// assert_eq!(mean.apply(&x)?.to_vec()?, [0.5, 1.5]);
/// assert_eq!(mean.apply_term(1, &x)?.to_vec()?, [0.0, 3.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mean<A> {
    /// At least one.
    terms: Vec<A>,
    layout: Arc<ParamLayout>,
}

impl<A> Mean<A> {
    /// The mean of `terms`.
    ///
    /// # Errors
    /// [`OperatorError::Nothing`] for an empty list, [`OperatorError::NotSquare`],
    /// [`VectorError::LayoutMismatch`](crate::VectorError::LayoutMismatch) between the terms.
    pub fn new<B>(terms: Vec<A>) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: LinearOperator<B>,
    {
        let first = terms.first().ok_or(OperatorError::Nothing)?;
        let layout = first.domain().clone();
        for term in &terms {
            expect_square(term)?;
            layout.expect_same(term.domain())?;
        }
        Ok(Self { terms, layout })
    }

    fn sum<B: AutodiffBackend>(
        &self,
        vector: &ParamVector<B>,
        product: impl Fn(&A, &ParamVector<B>) -> Result<ParamVector<B>, Error>,
    ) -> Result<ParamVector<B>, Error> {
        let mut products = self.terms.iter().map(|term| product(term, vector));
        let first = products.next().ok_or(OperatorError::Nothing)??;
        let sum = products.try_fold(first, |sum, product| Ok::<_, Error>(sum.add(&product?)?))?;
        Ok(sum.scale(1.0 / self.terms.len() as f64))
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Mean<A> {
    fn domain(&self) -> &Arc<ParamLayout> {
        &self.layout
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.sum(vector, A::apply)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let mut products = self.terms.iter().map(|term| term.apply_many(vectors));
        let first = products.next().ok_or(OperatorError::Nothing)??;
        let add = |(sum, product): (ParamVector<B>, ParamVector<B>)| Ok(sum.add(&product)?);
        let sums = products.try_fold(first, |sums, products| -> Result<Vec<_>, Error> {
            sums.into_iter().zip(products?).map(add).collect()
        })?;
        let share = 1.0 / self.terms.len() as f64;
        Ok(sums.into_iter().map(|sum| sum.scale(share)).collect())
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Mean<A> {}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for Mean<A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.sum(vector, A::apply_adjoint)
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> FiniteSum<B> for Mean<A> {
    fn terms(&self) -> usize {
        self.terms.len()
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let terms = self.terms.len();
        let term = self.terms.get(index);
        term.ok_or(OperatorError::NoSuchTerm { index, terms })?.apply(vector)
    }
}
