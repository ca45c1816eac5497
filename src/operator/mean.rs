//! The mean of a list of operators, as a finite sum.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{ParamSpace, ParamVector},
};

use super::{Adjoint, FiniteSum, LinearOperator, OperatorError, SelfAdjoint, expect_square};

/// The mean of operators, 1/n · Σ Aᵢ, of which stochastic solvers apply one at a time.
///
/// # Cost
/// One product with each term; one product for a single term.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{FiniteSum, LinearOperator, ParamSpace, operator::{Diagonal, Mean}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let x = space.ones();
/// let terms = [[1.0, 0.0], [0.0, 3.0]].map(|d| Diagonal::new(space.vector(&d)?));
/// let mean = Mean::new(terms.into_iter().collect::<Result<Vec<_>, burn_curvature::Error>>()?)?;
/// assert_eq!(mean.apply(&x)?.to_vec()?, [0.5, 1.5]);
/// assert_eq!(mean.apply_term(1, &x)?.to_vec()?, [0.0, 3.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mean<A> {
    first: A,
    rest: Vec<A>,
}

impl<A> Mean<A> {
    /// The mean of `terms`.
    ///
    /// # Errors
    /// [`OperatorError::Nothing`] for an empty list, [`OperatorError::NotSquare`],
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) between the terms.
    pub fn new<B>(terms: Vec<A>) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: LinearOperator<B>,
    {
        let mut terms = terms.into_iter();
        let first = terms.next().ok_or(OperatorError::Nothing)?;
        expect_square(&first)?;
        let rest: Vec<A> = terms.collect();
        for term in &rest {
            expect_square(term)?;
            first.domain().expect_same(term.domain())?;
        }
        Ok(Self { first, rest })
    }

    /// 1/n
    fn share(&self) -> f64 {
        1.0 / (1 + self.rest.len()) as f64
    }

    fn sum<B: AutodiffBackend>(
        &self,
        vector: &ParamVector<B>,
        product: impl Fn(&A, &ParamVector<B>) -> Result<ParamVector<B>, Error>,
    ) -> Result<ParamVector<B>, Error> {
        let mut sum = product(&self.first, vector)?;
        for term in &self.rest {
            sum = sum.add(&product(term, vector)?)?;
        }
        Ok(sum.scale(self.share()))
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Mean<A> {
    fn domain(&self) -> &ParamSpace<B> {
        self.first.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.sum(vector, A::apply)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let mut sums = self.first.apply_many(vectors)?;
        for term in &self.rest {
            let pairs = sums.into_iter().zip(term.apply_many(vectors)?);
            sums = pairs.map(|(sum, product)| sum.add(&product)).collect::<Result<_, _>>()?;
        }
        Ok(sums.into_iter().map(|sum| sum.scale(self.share())).collect())
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
        1 + self.rest.len()
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let terms = 1 + self.rest.len();
        let mut all = std::iter::once(&self.first).chain(&self.rest);
        all.nth(index).ok_or(OperatorError::NoSuchTerm { index, terms })?.apply(vector)
    }
}
