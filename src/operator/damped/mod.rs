//! Operators with something added to their diagonal.

mod per_block;

pub use per_block::BlockDamping;

use std::ops::Range;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

use super::{
    Adjoint, DenseMatrix, FiniteSum, LinearOperator, OperatorError, SelfAdjoint, expect_square,
};

/// A damped operator, A + D with a diagonal D ≥ 0:
///
/// | `D` is | made by | adds |
/// |---|---|---|
/// | a number λ | [`damped`](LinearOperator::damped) | λI |
/// | a [`ParamVector`] d | [`damped_by`](LinearOperator::damped_by) | diag(d) |
/// | a [`BlockDamping`] | [`damped_per_block`](LinearOperator::damped_per_block) | λₖI on block k |
///
/// Damping by λI raises every eigenvalue by λ. With λ above the absolute value of the most negative one, a symmetric A
/// becomes positive definite.
///
/// # Cost
/// One product with A, and one multiply-add of the vector.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::Identity};
///
/// let space = ParamSpace::<Autodiff<Flex>>::from_shapes([("w", [1]), ("b", [2])])?;
/// let (a, one) = (Identity::new(&space)?, space.ones());
/// assert_eq!((&a).damped(0.5)?.apply(&one)?.to_vec()?, [1.5, 1.5, 1.5]);
/// let d = space.vector(&[1.0, 2.0, 3.0])?;
/// assert_eq!((&a).damped_by(d)?.apply(&one)?.to_vec()?, [2.0, 3.0, 4.0]);
/// let per_block = (&a).damped_per_block(0.5, &[("b", 2.0)])?;
/// assert_eq!(per_block.apply(&one)?.to_vec()?, [1.5, 3.0, 3.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Damped<A, D = f64> {
    operator: A,
    damping: D,
}

/// A diagonal D ≥ 0 that [`Damped`] adds to an operator.
pub trait Damping<B: AutodiffBackend = DefaultBackend> {
    /// Checks that D belongs to a space, and that no element is negative or not finite.
    ///
    /// # Errors
    /// [`OperatorError::Damping`]; [`VectorError`](crate::errors::VectorError) for a D of another space.
    fn check(&self, space: &ParamSpace<B>) -> Result<(), Error>;

    /// `product + D · vector`
    ///
    /// # Errors
    /// [`VectorError`](crate::errors::VectorError) for vectors of different spaces.
    fn add_to(
        &self,
        product: ParamVector<B>,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error>;

    /// `product + D · vector`, and its scalar product with `vector`.
    ///
    /// # Errors
    /// As [`add_to`](Self::add_to).
    fn add_with_quadratic_form(
        &self,
        product: ParamVector<B>,
        vector: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, DeviceScalar<B>), Error> {
        let sum = self.add_to(product, vector)?;
        let form = vector.dot_device(&sum)?;
        Ok((sum, form))
    }

    /// Whether D is known to be zero, so that nothing has to be added.
    fn is_zero(&self) -> bool {
        false
    }

    /// A lower bound on the elements of D that needs no read of the device.
    fn lower_bound(&self) -> f64 {
        0.0
    }
}

impl<A, D> Damped<A, D> {
    /// `operator + damping`. Reads the damping once if it is a vector.
    ///
    /// # Errors
    /// [`OperatorError::Damping`] for the first damping that is negative or not finite, [`OperatorError::NotSquare`];
    /// [`VectorError`](crate::errors::VectorError) for a damping of another space.
    pub fn new<B>(operator: A, damping: D) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: LinearOperator<B>,
        D: Damping<B>,
    {
        expect_square(&operator)?;
        damping.check(operator.domain())?;
        Ok(Self { operator, damping })
    }

    /// The operator without what is added.
    pub fn operator(&self) -> &A {
        &self.operator
    }

    /// What is added to the operator.
    pub fn diagonal(&self) -> &D {
        &self.damping
    }
}

impl<B, A, D> LinearOperator<B> for Damped<A, D>
where
    B: AutodiffBackend,
    A: LinearOperator<B>,
    D: Damping<B>,
{
    fn domain(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.damping.add_to(self.operator.apply(vector)?, vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let products = self.operator.apply_many(vectors)?.into_iter();
        products
            .zip(vectors)
            .map(|(product, vector)| self.damping.add_to(product, vector))
            .collect()
    }

    fn columns(&self, positions: Range<usize>) -> Result<DenseMatrix, Error> {
        let matrix = self.operator.columns(positions.clone())?;
        if self.damping.is_zero() {
            return Ok(matrix);
        }
        let space = self.domain();
        let diagonal = self.damping.add_to(space.zeros(), &space.ones())?.to_vec()?;
        matrix.with_added(positions, &diagonal)
    }
}

impl<B, A, D> SelfAdjoint<B> for Damped<A, D>
where
    B: AutodiffBackend,
    A: SelfAdjoint<B>,
    D: Damping<B>,
{
    fn apply_with_quadratic_form(
        &self,
        vector: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, DeviceScalar<B>), Error> {
        if self.damping.is_zero() {
            return self.operator.apply_with_quadratic_form(vector);
        }
        self.damping.add_with_quadratic_form(self.operator.apply(vector)?, vector)
    }
}

impl<B, A, D> Adjoint<B> for Damped<A, D>
where
    B: AutodiffBackend,
    A: Adjoint<B>,
    D: Damping<B>,
{
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.damping.add_to(self.operator.apply_adjoint(vector)?, vector)
    }
}

/// The damping is in every term in full: the mean of Aᵢ + D is A + D.
impl<B, A, D> FiniteSum<B> for Damped<A, D>
where
    B: AutodiffBackend,
    A: FiniteSum<B>,
    D: Damping<B>,
{
    fn terms(&self) -> usize {
        self.operator.terms()
    }

    fn damping(&self) -> f64 {
        self.operator.damping() + self.damping.lower_bound()
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.damping.add_to(self.operator.apply_term(index, vector)?, vector)
    }
}

/// λI
impl<B: AutodiffBackend> Damping<B> for f64 {
    fn check(&self, _: &ParamSpace<B>) -> Result<(), Error> {
        Ok(expect_damping(*self)?)
    }

    fn add_to(
        &self,
        product: ParamVector<B>,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        if *self == 0.0 {
            return Ok(product);
        }
        Ok(product.axpy(*self, vector)?)
    }

    fn add_with_quadratic_form(
        &self,
        product: ParamVector<B>,
        vector: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, DeviceScalar<B>), Error> {
        Ok(product.axpy_dot(*self, vector)?)
    }

    fn is_zero(&self) -> bool {
        *self == 0.0
    }

    fn lower_bound(&self) -> f64 {
        *self
    }
}

/// diag(d)
impl<B: AutodiffBackend> Damping<B> for ParamVector<B> {
    fn check(&self, space: &ParamSpace<B>) -> Result<(), Error> {
        space.expect_same(self.space())?;
        Ok(self.to_vec()?.into_iter().try_for_each(expect_damping)?)
    }

    fn add_to(
        &self,
        product: ParamVector<B>,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        Ok(product.add(&self.clone().mul(vector)?)?)
    }
}

/// Checks that a damping is finite and not negative.
pub(crate) fn expect_damping(found: f64) -> Result<(), OperatorError> {
    if found.is_finite() && found >= 0.0 {
        return Ok(());
    }
    Err(OperatorError::Damping { found })
}
