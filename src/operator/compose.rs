//! The identity, and multiples and sums of operators.

use std::ops::Range;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

use super::{Adjoint, DenseMatrix, FiniteSum, LinearOperator, OperatorError, SelfAdjoint};

/// The identity I on a space.
///
/// # Cost
/// None: the product shares the tensors of the vector.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::Identity};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let x = space.vector(&[3.0, 4.0])?;
/// assert_eq!(Identity::new(&space)?.apply(&x)?.to_vec()?, [3.0, 4.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Identity<B: AutodiffBackend = DefaultBackend> {
    space: ParamSpace<B>,
}

impl<B: AutodiffBackend> Identity<B> {
    /// The identity on a space.
    ///
    /// # Errors
    /// Infallible; `Result` as for all operators.
    pub fn new(space: &ParamSpace<B>) -> Result<Self, Error> {
        Ok(Self { space: space.clone() })
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Identity<B> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.space
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.space.expect_same(vector.space())?;
        Ok(vector.clone())
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Identity<B> {}

impl<B: AutodiffBackend> Adjoint<B> for Identity<B> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.apply(vector)
    }
}

/// A multiple of an operator, c·A.
///
/// # Cost
/// One product with A, and one multiplication of the vector.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::Diagonal};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = Diagonal::new(space.vector(&[1.0, 2.0])?)?.scaled(-3.0)?;
/// assert_eq!(a.apply(&space.ones())?.to_vec()?, [-3.0, -6.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scaled<A> {
    operator: A,
    factor: f64,
}

impl<A> Scaled<A> {
    /// `factor · operator`
    ///
    /// # Errors
    /// [`OperatorError::Factor`] if the factor is not finite.
    pub fn new(operator: A, factor: f64) -> Result<Self, Error> {
        if !factor.is_finite() {
            return Err(OperatorError::Factor { found: factor }.into());
        }
        Ok(Self { operator, factor })
    }

    /// The factor c.
    pub fn factor(&self) -> f64 {
        self.factor
    }
}

impl<B: AutodiffBackend, A: LinearOperator<B>> LinearOperator<B> for Scaled<A> {
    fn domain(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    fn codomain(&self) -> &ParamSpace<B> {
        self.operator.codomain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.operator.apply(vector)?.scale(self.factor))
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let products = self.operator.apply_many(vectors)?.into_iter();
        Ok(products.map(|product| product.scale(self.factor)).collect())
    }

    fn columns(&self, positions: Range<usize>) -> Result<DenseMatrix, Error> {
        self.operator.columns(positions)?.scaled(self.factor)
    }
}

impl<B: AutodiffBackend, A: SelfAdjoint<B>> SelfAdjoint<B> for Scaled<A> {}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for Scaled<A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.operator.apply_adjoint(vector)?.scale(self.factor))
    }

    fn apply_adjoint_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let products = self.operator.apply_adjoint_many(vectors)?.into_iter();
        Ok(products.map(|product| product.scale(self.factor)).collect())
    }
}

/// Every term is multiplied.
impl<B: AutodiffBackend, A: FiniteSum<B>> FiniteSum<B> for Scaled<A> {
    fn terms(&self) -> usize {
        self.operator.terms()
    }

    fn damping(&self) -> f64 {
        (self.factor * self.operator.damping()).max(0.0)
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.operator.apply_term(index, vector)?.scale(self.factor))
    }
}

/// The sum of two operators, A + B.
///
/// # Cost
/// One product with each.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::{Diagonal, Identity}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = Diagonal::new(space.vector(&[1.0, 2.0])?)?.plus(Identity::new(&space)?)?;
/// assert_eq!(a.apply(&space.ones())?.to_vec()?, [2.0, 3.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sum<L, R> {
    left: L,
    right: R,
}

impl<L, R> Sum<L, R> {
    /// `left + right`
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) if the two do not map between the same
    /// spaces.
    pub fn new<B>(left: L, right: R) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        L: LinearOperator<B>,
        R: LinearOperator<B>,
    {
        left.domain().expect_same(right.domain())?;
        left.codomain().expect_same(right.codomain())?;
        Ok(Self { left, right })
    }
}

impl<B, L, R> LinearOperator<B> for Sum<L, R>
where
    B: AutodiffBackend,
    L: LinearOperator<B>,
    R: LinearOperator<B>,
{
    fn domain(&self) -> &ParamSpace<B> {
        self.left.domain()
    }

    fn codomain(&self) -> &ParamSpace<B> {
        self.left.codomain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.left.apply(vector)?.add(&self.right.apply(vector)?)?)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let left = self.left.apply_many(vectors)?.into_iter();
        let right = self.right.apply_many(vectors)?;
        left.zip(&right).map(|(left, right)| Ok(left.add(right)?)).collect()
    }
}

impl<B, L, R> SelfAdjoint<B> for Sum<L, R>
where
    B: AutodiffBackend,
    L: SelfAdjoint<B>,
    R: SelfAdjoint<B>,
{
}

impl<B, L, R> Adjoint<B> for Sum<L, R>
where
    B: AutodiffBackend,
    L: Adjoint<B>,
    R: Adjoint<B>,
{
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let left = self.left.apply_adjoint(vector)?;
        Ok(left.add(&self.right.apply_adjoint(vector)?)?)
    }

    fn apply_adjoint_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let left = self.left.apply_adjoint_many(vectors)?.into_iter();
        let right = self.right.apply_adjoint_many(vectors)?;
        left.zip(&right).map(|(left, right)| Ok(left.add(right)?)).collect()
    }
}

/// A finite sum on the left, and something to be added to each of its terms in full on the right: the mean of Aᵢ + B is
/// A + B.
impl<B, L, R> FiniteSum<B> for Sum<L, R>
where
    B: AutodiffBackend,
    L: FiniteSum<B>,
    R: SelfAdjoint<B>,
{
    fn terms(&self) -> usize {
        self.left.terms()
    }

    fn damping(&self) -> f64 {
        self.left.damping()
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let left = self.left.apply_term(index, vector)?;
        Ok(left.add(&self.right.apply(vector)?)?)
    }
}
