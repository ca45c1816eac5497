//! The traits of operators.

use std::ops::Range;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamSpace, ParamSubset, ParamVector},
    tensor::DefaultBackend,
};

#[cfg(doc)]
use super::OperatorError;
use super::{
    AssumeSelfAdjoint, BlockDamping, Chain, Counted, Damped, DenseMatrix, Restricted, Scaled, Sum,
    Transposed, entries::columns_by_products,
};

/// A linear map between two spaces, defined by its products with vectors.
///
/// There is no transpose here: conjugate gradients and related methods do not need one. See [`Adjoint`].
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::Diagonal};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let x = space.vector(&[3.0, 5.0])?;
/// let damped = Diagonal::new(x.clone())?.damped(0.5)?;      // diag(3, 5) + ½ I
/// assert_eq!(damped.apply(&x)?.to_vec()?, [10.5, 27.5]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub trait LinearOperator<B: AutodiffBackend = DefaultBackend> {
    /// The space of the vectors that go in.
    fn domain(&self) -> &ParamSpace<B>;

    /// The space of the vectors that come out.
    fn codomain(&self) -> &ParamSpace<B> {
        self.domain()
    }

    /// The product with a vector.
    ///
    /// # Shapes
    /// - `vector`: of the [`domain`](Self::domain)
    /// - output: of the [`codomain`](Self::codomain)
    ///
    /// # Errors
    /// [`VectorError`](crate::errors::VectorError) for a vector of another layout, precision or device; errors of the operator's
    /// own.
    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error>;

    /// The products with several vectors, in order. An operator may compute them together if that is faster.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), for the first vector that fails.
    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        vectors.iter().map(|vector| self.apply(vector)).collect()
    }

    /// Some columns of the matrix: the products with unit vectors, on the host. All of them are
    /// [`materialize`](crate::materialize).
    ///
    /// # Shapes
    /// - output: as many rows as the [`codomain`](Self::codomain) has dimensions, a column for each position
    ///
    /// # Cost
    /// One product per column. Curvature matrices make many columns at a time, without vectors.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchColumns`] for no position or one beyond the [`domain`](Self::domain);
    /// [`OperatorError::NonFiniteEntry`] if a product holds NaN or infinity; whatever a product fails with.
    ///
    /// # Example
    /// ```
    /// use burn::backend::{Autodiff, Flex};
    /// use burn_curvature::{LinearOperator, ParamSpace, operator::{Dense, DenseMatrix}};
    ///
    /// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
    /// let a = Dense::new(&DenseMatrix::from_rows(&[[1.0, 2.0], [3.0, 4.0]])?, &space)?;
    /// assert_eq!(a.columns(1..2)?, DenseMatrix::from_rows(&[[2.0], [4.0]])?);
    /// # Ok::<(), burn_curvature::Error>(())
    /// ```
    fn columns(&self, positions: Range<usize>) -> Result<DenseMatrix, Error> {
        columns_by_products(self, positions)
    }

    /// `factor · A`
    ///
    /// # Errors
    /// [`OperatorError::Factor`] if the factor is not finite.
    fn scaled(self, factor: f64) -> Result<Scaled<Self>, Error>
    where
        Self: Sized,
    {
        Scaled::new(self, factor)
    }

    /// `A + damping · I`
    ///
    /// # Errors
    /// [`OperatorError::Damping`] if the damping is negative or not finite, [`OperatorError::NotSquare`].
    fn damped(self, damping: f64) -> Result<Damped<Self>, Error>
    where
        Self: Sized,
    {
        Damped::new(self, damping)
    }

    /// `A + other`
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) if the two do not map between the same
    /// spaces.
    fn plus<T: LinearOperator<B>>(self, other: T) -> Result<Sum<Self, T>, Error>
    where
        Self: Sized,
    {
        Sum::new(self, other)
    }

    /// `A + diag(diagonal)`
    ///
    /// # Errors
    /// [`OperatorError::Damping`] if an element is negative or not finite, [`OperatorError::NotSquare`],
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch).
    fn damped_by(self, diagonal: ParamVector<B>) -> Result<Damped<Self, ParamVector<B>>, Error>
    where
        Self: Sized,
    {
        Damped::new(self, diagonal)
    }

    /// `A + λₖI` on block k: a damping for the blocks that match each pattern (as in
    /// [`ParamLayout::select`](crate::ParamLayout::select)), and `otherwise` for those that match none.
    ///
    /// # Errors
    /// Those of [`BlockDamping::by_name`]; [`OperatorError::NotSquare`].
    fn damped_per_block(
        self,
        otherwise: f64,
        dampings: &[(&str, f64)],
    ) -> Result<Damped<Self, BlockDamping>, Error>
    where
        Self: Sized,
    {
        let damping = BlockDamping::by_name(self.domain().layout(), otherwise, dampings)?;
        Damped::new(self, damping)
    }

    /// `A · other`: first the other, then A.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) if the codomain of the other is not the
    /// domain of A.
    fn times<T: LinearOperator<B>>(self, other: T) -> Result<Chain<Self, T>, Error>
    where
        Self: Sized,
    {
        Chain::new(self, other)
    }

    /// Aᵀ
    fn transposed(self) -> Transposed<Self>
    where
        Self: Adjoint<B> + Sized,
    {
        Transposed::new(self)
    }

    /// The block of A for some of the parameters: R·A·Rᵀ, where R keeps the selected parameters.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) if the selection is from another layout,
    /// [`OperatorError::NotSquare`].
    fn restricted(self, subset: ParamSubset) -> Result<Restricted<B, Self>, Error>
    where
        Self: Sized,
    {
        Restricted::new(self, subset)
    }

    /// A with a count of its applications.
    fn counted(self) -> Counted<Self>
    where
        Self: Sized,
    {
        Counted::new(self)
    }

    /// A, promised by the caller to be self-adjoint.
    ///
    /// # Errors
    /// [`OperatorError::NotSquare`].
    fn assume_self_adjoint(self) -> Result<AssumeSelfAdjoint<Self>, Error>
    where
        Self: Sized,
    {
        AssumeSelfAdjoint::new(self)
    }
}

/// Promise that ⟨u, A v⟩ = ⟨A u, v⟩ for all u and v: the matrix is symmetric.
///
/// Solvers for symmetric systems require it, so that they refuse a Jacobian at compile time. Wrap an operator in
/// [`AssumeSelfAdjoint`] to promise it for a map whose type does not imply it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not known to be self-adjoint",
    note = "pass the operator, such as `&hessian`; if its matrix is symmetric and its type does not say so, promise it \
            with `assume_self_adjoint()`"
)]
pub trait SelfAdjoint<B: AutodiffBackend = DefaultBackend>: LinearOperator<B> {
    /// A v and vᵀA v together. An operator whose last step is elementwise can compute the scalar product in the same
    /// pass over memory.
    ///
    /// # Errors
    /// As [`apply`](LinearOperator::apply).
    fn apply_with_quadratic_form(
        &self,
        vector: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, DeviceScalar<B>), Error> {
        let product = self.apply(vector)?;
        let form = vector.dot_device(&product)?;
        Ok((product, form))
    }
}

/// A linear map whose transpose can be applied too: a Jacobian, a dense matrix, a product of such maps.
///
/// ```text
/// ⟨u, A v⟩ = ⟨Aᵀu, v⟩
/// ```
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{Adjoint, LinearOperator, ParamSpace, operator::{Dense, DenseMatrix}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = Dense::new(&DenseMatrix::from_rows(&[[1.0, 2.0], [3.0, 4.0]])?, &space)?;
/// let first = space.vector(&[1.0, 0.0])?;
/// assert_eq!(a.apply(&first)?.to_vec()?, [1.0, 3.0]); // the first column
/// assert_eq!(a.apply_adjoint(&first)?.to_vec()?, [1.0, 2.0]); // the first row
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub trait Adjoint<B: AutodiffBackend = DefaultBackend>: LinearOperator<B> {
    /// The product of the transpose with a vector.
    ///
    /// # Shapes
    /// - `vector`: of the [`codomain`](LinearOperator::codomain)
    /// - output: of the [`domain`](LinearOperator::domain)
    ///
    /// # Errors
    /// [`VectorError`](crate::errors::VectorError) for a vector of another layout, precision or device; errors of the operator's
    /// own.
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error>;

    /// The products of the transpose with several vectors, in order. An operator may compute them together if that is
    /// faster.
    ///
    /// # Errors
    /// As [`apply_adjoint`](Self::apply_adjoint), for the first vector that fails.
    fn apply_adjoint_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        vectors.iter().map(|vector| self.apply_adjoint(vector)).collect()
    }
}

/// An operator that is the mean of others, one for each mini-batch: A = 1/n · Σ Aᵢ.
///
/// Stochastic solvers apply one Aᵢ at a time. Each Aᵢ approximates A on its own: for a sum over samples it is
/// the batch's part *times* the number of batches, and a term λI of A is in every Aᵢ in full.
/// [`Mean`](crate::operator::Mean) makes one of a list of operators; see there for an example.
pub trait FiniteSum<B: AutodiffBackend = DefaultBackend>: SelfAdjoint<B> {
    /// The number n of the Aᵢ, at least 1.
    fn terms(&self) -> usize;

    /// A damping λ known to be in every Aᵢ as a term λI; 0 otherwise. For positive semidefinite terms it
    /// bounds their eigenvalues from below.
    fn damping(&self) -> f64 {
        0.0
    }

    /// Aᵢ·v, for i from 0 to n − 1.
    ///
    /// # Errors
    /// As [`apply`](LinearOperator::apply); [`OperatorError::NoSuchTerm`] for i ≥ n.
    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error>;
}
