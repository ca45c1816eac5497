//! Operators from closures.

use std::fmt;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{ParamSpace, ParamVector},
};

use super::{Adjoint, LinearOperator};

/// An operator from a closure.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::FromFn};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let triple = FromFn::new(&space, |v| Ok(v.clone().scale(3.0)))?;
/// let x = space.vector(&[1.0, 2.0])?;
/// assert_eq!(triple.apply(&x)?.to_vec()?, [3.0, 6.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub struct FromFn<B: AutodiffBackend, F> {
    domain: ParamSpace<B>,
    codomain: ParamSpace<B>,
    function: F,
}

impl<B, F> FromFn<B, F>
where
    B: AutodiffBackend,
    F: Fn(&ParamVector<B>) -> Result<ParamVector<B>, Error>,
{
    /// A closure that maps a space to itself.
    ///
    /// # Errors
    /// Infallible; `Result` as for all operators.
    pub fn new(space: &ParamSpace<B>, function: F) -> Result<Self, Error> {
        Self::between(space, space, function)
    }

    /// A closure that maps one space to another.
    ///
    /// # Errors
    /// Infallible; `Result` as for all operators.
    pub fn between(
        domain: &ParamSpace<B>,
        codomain: &ParamSpace<B>,
        function: F,
    ) -> Result<Self, Error> {
        Ok(Self { domain: domain.clone(), codomain: codomain.clone(), function })
    }

    /// The same map with a closure for its transpose.
    pub fn with_adjoint<G>(self, adjoint: G) -> WithAdjoint<Self, G>
    where
        G: Fn(&ParamVector<B>) -> Result<ParamVector<B>, Error>,
    {
        WithAdjoint { operator: self, adjoint }
    }
}

impl<B: AutodiffBackend, F> fmt::Debug for FromFn<B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn")
            .field("domain", &self.domain.len())
            .field("codomain", &self.codomain.len())
            .finish_non_exhaustive()
    }
}

/// The vectors on both sides are checked against the spaces.
impl<B, F> LinearOperator<B> for FromFn<B, F>
where
    B: AutodiffBackend,
    F: Fn(&ParamVector<B>) -> Result<ParamVector<B>, Error>,
{
    fn domain(&self) -> &ParamSpace<B> {
        &self.domain
    }

    fn codomain(&self) -> &ParamSpace<B> {
        &self.codomain
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.domain.expect_same(vector.space())?;
        let product = (self.function)(vector)?;
        self.codomain.expect_same(product.space())?;
        Ok(product)
    }
}

/// An operator with a closure for its transpose.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{Adjoint, ParamSpace, ParamVector, operator::FromFn};
///
/// // (x₀, x₁) ↦ (x₁, 0), and back.
/// type Vector = ParamVector<Autodiff<Flex>>;
/// let shift = |from: usize, to: usize| move |v: &Vector| {
///     let mut values = [0.0; 2];
///     values[to] = v.to_vec()?[from];
///     Ok(v.space().vector(&values)?)
/// };
/// let space = ParamSpace::flat(2)?;
/// let operator = FromFn::new(&space, shift(1, 0))?.with_adjoint(shift(0, 1));
/// let x = space.vector(&[3.0, 5.0])?;
/// assert_eq!(operator.apply_adjoint(&x)?.to_vec()?, [0.0, 3.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub struct WithAdjoint<A, G> {
    operator: A,
    adjoint: G,
}

impl<A: fmt::Debug, G> fmt::Debug for WithAdjoint<A, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithAdjoint").field("operator", &self.operator).finish_non_exhaustive()
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>, G> LinearOperator<B> for WithAdjoint<A, G> {
    fn domain(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    fn codomain(&self) -> &ParamSpace<B> {
        self.operator.codomain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.operator.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.operator.apply_many(vectors)
    }
}

/// The vectors on both sides are checked against the spaces. Use [`check_adjoint`](crate::operator::check_adjoint) to
/// test that the two closures belong together.
impl<B, A, G> Adjoint<B> for WithAdjoint<A, G>
where
    B: AutodiffBackend,
    A: LinearOperator<B>,
    G: Fn(&ParamVector<B>) -> Result<ParamVector<B>, Error>,
{
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.codomain().expect_same(vector.space())?;
        let product = (self.adjoint)(vector)?;
        self.domain().expect_same(product.space())?;
        Ok(product)
    }
}
