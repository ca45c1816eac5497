//! Operators around one operator: promised symmetry, counting.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamSpace, ParamVector},
};

use super::{Adjoint, DenseMatrix, FiniteSum, LinearOperator, SelfAdjoint, expect_square};

/// An operator that the caller promises is self-adjoint.
///
/// The promise is not checked here. [`check_self_adjoint`](crate::operator::check_self_adjoint) checks it with six products, and
/// [`DenseMatrix::symmetry_error`](crate::operator::DenseMatrix::symmetry_error) of the materialized operator for small sizes.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::{FromFn, check_self_adjoint}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(3)?;
/// let triple = FromFn::new(&space, |v| Ok(v.clone().scale(3.0)))?;
/// check_self_adjoint(&triple.assume_self_adjoint()?, 1)?;
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AssumeSelfAdjoint<A> {
    operator: A,
}

impl<A> AssumeSelfAdjoint<A> {
    /// Trusts the caller's promise.
    ///
    /// # Errors
    /// [`OperatorError::NotSquare`](crate::errors::OperatorError::NotSquare).
    pub fn new<B>(operator: A) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: LinearOperator<B>,
    {
        expect_square(&operator)?;
        Ok(Self { operator })
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for AssumeSelfAdjoint<A> {
    fn domain(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.operator.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.operator.apply_many(vectors)
    }

    fn columns(&self, positions: Range<usize>) -> Result<DenseMatrix, Error> {
        self.operator.columns(positions)
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> SelfAdjoint<B> for AssumeSelfAdjoint<A> {}

/// By the same promise: Aᵀ = A. It gives any self-adjoint operator an adjoint.
impl<B: AutodiffBackend, A: LinearOperator<B>> Adjoint<B> for AssumeSelfAdjoint<A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.operator.apply(vector)
    }

    fn apply_adjoint_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.operator.apply_many(vectors)
    }
}

/// An operator with a count of its applications, the usual unit of cost. Made by [`LinearOperator::counted`].
///
/// Applications of the transpose and of single terms of a finite sum are counted separately.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, materialize, operator::Identity};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(5)?;
/// let a = Identity::new(&space)?.counted();
/// materialize(&a)?;
/// assert_eq!(a.applications(), 5);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug)]
pub struct Counted<A> {
    operator: A,
    count: AtomicUsize,
    adjoint: AtomicUsize,
    terms: AtomicUsize,
}

impl<A> Counted<A> {
    /// Starts counting at zero.
    pub(crate) fn new(operator: A) -> Self {
        Self {
            operator,
            count: AtomicUsize::new(0),
            adjoint: AtomicUsize::new(0),
            terms: AtomicUsize::new(0),
        }
    }

    /// Products so far.
    pub fn applications(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts products that were made elsewhere.
    pub(crate) fn add(&self, products: usize) {
        self.count.fetch_add(products, Ordering::Relaxed);
    }

    /// Products with the transpose so far.
    pub fn adjoint_applications(&self) -> usize {
        self.adjoint.load(Ordering::Relaxed)
    }

    /// Products with a single term of a finite sum so far.
    pub fn term_applications(&self) -> usize {
        self.terms.load(Ordering::Relaxed)
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Counted<A> {
    fn domain(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    fn codomain(&self) -> &ParamSpace<B> {
        self.operator.codomain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.operator.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.count.fetch_add(vectors.len(), Ordering::Relaxed);
        self.operator.apply_many(vectors)
    }

    fn columns(&self, positions: Range<usize>) -> Result<DenseMatrix, Error> {
        self.count.fetch_add(positions.len(), Ordering::Relaxed);
        self.operator.columns(positions)
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Counted<A> {
    fn apply_with_quadratic_form(
        &self,
        vector: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, DeviceScalar<B>), Error> {
        self.add(1);
        self.operator.apply_with_quadratic_form(vector)
    }
}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for Counted<A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.adjoint.fetch_add(1, Ordering::Relaxed);
        self.operator.apply_adjoint(vector)
    }

    fn apply_adjoint_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.adjoint.fetch_add(vectors.len(), Ordering::Relaxed);
        self.operator.apply_adjoint_many(vectors)
    }
}

impl<B: AutodiffBackend, A: FiniteSum<B>> FiniteSum<B> for Counted<A> {
    fn terms(&self) -> usize {
        self.operator.terms()
    }

    fn damping(&self) -> f64 {
        self.operator.damping()
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.terms.fetch_add(1, Ordering::Relaxed);
        self.operator.apply_term(index, vector)
    }
}
