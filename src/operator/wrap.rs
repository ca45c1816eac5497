//! Operators around one operator or closure: promised symmetry, counting, closures.

use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn_backend::AutodiffBackend;

use crate::{
    Error,
    params::{ParamLayout, ParamVector},
};

use super::{LinearOperator, SelfAdjoint, expect_square};

/// An operator that the caller vouches to be self-adjoint.
///
/// Nothing checks the promise. [`DenseMatrix::symmetry_error`](crate::DenseMatrix::symmetry_error) of the materialised
/// operator does, at a small size.
#[derive(Debug, Clone)]
pub struct AssumeSelfAdjoint<A> {
    operator: A,
}

impl<A> AssumeSelfAdjoint<A> {
    /// Takes the caller's word.
    ///
    /// # Errors
    /// [`OperatorError::NotSquare`](crate::OperatorError::NotSquare).
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
    fn domain(&self) -> &Arc<ParamLayout> {
        self.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.operator.apply(vector)
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> SelfAdjoint<B> for AssumeSelfAdjoint<A> {}

/// An operator with a count of its applications, the usual unit of cost.
#[derive(Debug)]
pub struct Counted<A> {
    operator: A,
    count: AtomicUsize,
}

impl<A> Counted<A> {
    /// Starts counting at zero.
    pub fn new(operator: A) -> Self {
        Self {
            operator,
            count: AtomicUsize::new(0),
        }
    }

    /// Products so far.
    pub fn applications(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Counted<A> {
    fn domain(&self) -> &Arc<ParamLayout> {
        self.operator.domain()
    }

    fn codomain(&self) -> &Arc<ParamLayout> {
        self.operator.codomain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.operator.apply(vector)
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Counted<A> {}

/// An operator from a closure.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{FromFn, LinearOperator, ParamLayout, ParamVector, Precision};
///
/// let layout = ParamLayout::flat(2)?;
/// let triple = FromFn::new(&layout, |v: &ParamVector<Autodiff<Flex>>| Ok(v.clone().scale(3.0)));
/// let x = ParamVector::from_vec(&layout, &[1.0, 2.0], &Default::default(), Precision::F32)?;
/// assert_eq!(triple.apply(&x)?.to_vec()?, [3.0, 6.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub struct FromFn<B, F> {
    domain: Arc<ParamLayout>,
    codomain: Arc<ParamLayout>,
    function: F,
    backend: PhantomData<fn(B)>,
}

impl<B, F> FromFn<B, F>
where
    B: AutodiffBackend,
    F: Fn(&ParamVector<B>) -> Result<ParamVector<B>, Error>,
{
    /// A closure that maps the vectors of a layout to vectors of the same layout.
    pub fn new(layout: &Arc<ParamLayout>, function: F) -> Self {
        Self::between(layout, layout, function)
    }

    /// A closure that maps the vectors of one layout to those of another.
    pub fn between(domain: &Arc<ParamLayout>, codomain: &Arc<ParamLayout>, function: F) -> Self {
        Self {
            domain: domain.clone(),
            codomain: codomain.clone(),
            function,
            backend: PhantomData,
        }
    }
}

impl<B, F> fmt::Debug for FromFn<B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn")
            .field("domain", &self.domain.len())
            .field("codomain", &self.codomain.len())
            .finish_non_exhaustive()
    }
}

/// The vectors on both sides are checked against the layouts.
impl<B, F> LinearOperator<B> for FromFn<B, F>
where
    B: AutodiffBackend,
    F: Fn(&ParamVector<B>) -> Result<ParamVector<B>, Error>,
{
    fn domain(&self) -> &Arc<ParamLayout> {
        &self.domain
    }

    fn codomain(&self) -> &Arc<ParamLayout> {
        &self.codomain
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.domain.expect_same(vector.layout())?;
        let product = (self.function)(vector)?;
        self.codomain.expect_same(product.layout())?;
        Ok(product)
    }
}
