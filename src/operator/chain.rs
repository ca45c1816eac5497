//! Products and transposes of operators.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{ParamSpace, ParamVector},
};

use super::{Adjoint, LinearOperator, SelfAdjoint, expect_square};

/// The product of two operators, A·B: first B, then A.
///
/// # Cost
/// One product with each.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, materialize, operator::{Dense, DenseMatrix}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = Dense::new(&DenseMatrix::from_rows(&[[1.0, 2.0], [0.0, 1.0]])?, &space)?;
/// let b = Dense::new(&DenseMatrix::from_rows(&[[1.0, 0.0], [3.0, 1.0]])?, &space)?;
/// assert_eq!(materialize(&a.times(b)?)?.values(), [7.0, 2.0, 3.0, 1.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Chain<L, R> {
    left: L,
    right: R,
}

impl<L, R> Chain<L, R> {
    /// `left · right`
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) if the codomain of the right is not the
    /// domain of the left.
    pub fn new<B>(left: L, right: R) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        L: LinearOperator<B>,
        R: LinearOperator<B>,
    {
        left.domain().expect_same(right.codomain())?;
        Ok(Self { left, right })
    }
}

impl<B, L, R> LinearOperator<B> for Chain<L, R>
where
    B: AutodiffBackend,
    L: LinearOperator<B>,
    R: LinearOperator<B>,
{
    fn domain(&self) -> &ParamSpace<B> {
        self.right.domain()
    }

    fn codomain(&self) -> &ParamSpace<B> {
        self.left.codomain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.left.apply(&self.right.apply(vector)?)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.left.apply_many(&self.right.apply_many(vectors)?)
    }
}

/// (A·B)ᵀ = Bᵀ·Aᵀ
impl<B, L, R> Adjoint<B> for Chain<L, R>
where
    B: AutodiffBackend,
    L: Adjoint<B>,
    R: Adjoint<B>,
{
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.right.apply_adjoint(&self.left.apply_adjoint(vector)?)
    }

    fn apply_adjoint_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.right.apply_adjoint_many(&self.left.apply_adjoint_many(vectors)?)
    }
}

/// The transpose of an operator, Aᵀ. Made by [`LinearOperator::transposed`].
///
/// # Cost
/// One product with Aᵀ.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, materialize, operator::{Dense, DenseMatrix}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = Dense::new(&DenseMatrix::from_rows(&[[1.0, 2.0], [3.0, 4.0]])?, &space)?;
/// assert_eq!(materialize(&a.transposed())?.values(), [1.0, 3.0, 2.0, 4.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Transposed<A> {
    operator: A,
}

impl<A> Transposed<A> {
    pub(super) fn new(operator: A) -> Self {
        Self { operator }
    }
}

impl<B: AutodiffBackend, A: Adjoint<B>> LinearOperator<B> for Transposed<A> {
    fn domain(&self) -> &ParamSpace<B> {
        self.operator.codomain()
    }

    fn codomain(&self) -> &ParamSpace<B> {
        self.operator.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.operator.apply_adjoint(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.operator.apply_adjoint_many(vectors)
    }
}

impl<B: AutodiffBackend, A: Adjoint<B>> Adjoint<B> for Transposed<A> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.operator.apply(vector)
    }

    fn apply_adjoint_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.operator.apply_many(vectors)
    }
}

impl<B: AutodiffBackend, A: Adjoint<B> + SelfAdjoint<B>> SelfAdjoint<B> for Transposed<A> {}

/// A self-adjoint operator seen through another, Aᵀ·M·A: self-adjoint by construction, and positive semidefinite if M
/// is.
///
/// A Gauss-Newton matrix Jᵀ(∇²ℓ)J is one.
///
/// # Cost
/// One product with each of A, M and Aᵀ.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ParamSpace, materialize, operator::{Congruence, Dense, DenseMatrix, Diagonal}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = Dense::new(&DenseMatrix::from_rows(&[[1.0, 2.0], [0.0, 1.0]])?, &space)?;
/// let m = Diagonal::new(space.vector(&[1.0, 3.0])?)?;
/// assert_eq!(materialize(&Congruence::new(a, m)?)?.values(), [1.0, 2.0, 2.0, 7.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Congruence<A, M> {
    outer: A,
    inner: M,
}

impl<A, M> Congruence<A, M> {
    /// `outerᵀ · inner · outer`
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) if the codomain of A is not the domain of M,
    /// [`OperatorError::NotSquare`](crate::errors::OperatorError::NotSquare) for M.
    pub fn new<B>(outer: A, inner: M) -> Result<Self, Error>
    where
        B: AutodiffBackend,
        A: Adjoint<B>,
        M: LinearOperator<B>,
    {
        expect_square(&inner)?;
        inner.domain().expect_same(outer.codomain())?;
        Ok(Self { outer, inner })
    }
}

impl<B, A, M> LinearOperator<B> for Congruence<A, M>
where
    B: AutodiffBackend,
    A: Adjoint<B>,
    M: LinearOperator<B>,
{
    fn domain(&self) -> &ParamSpace<B> {
        self.outer.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.inner.apply(&self.outer.apply(vector)?)?;
        self.outer.apply_adjoint(&product)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        let products = self.inner.apply_many(&self.outer.apply_many(vectors)?)?;
        self.outer.apply_adjoint_many(&products)
    }
}

impl<B, A, M> SelfAdjoint<B> for Congruence<A, M>
where
    B: AutodiffBackend,
    A: Adjoint<B>,
    M: SelfAdjoint<B>,
{
}

/// (Aᵀ·M·A)ᵀ = Aᵀ·Mᵀ·A
impl<B, A, M> Adjoint<B> for Congruence<A, M>
where
    B: AutodiffBackend,
    A: Adjoint<B>,
    M: Adjoint<B>,
{
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.inner.apply_adjoint(&self.outer.apply(vector)?)?;
        self.outer.apply_adjoint(&product)
    }
}
