//! Operators of an explicit matrix, kept on the device.

use std::fmt;

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use crate::{
    error::Error,
    space::{Inner, InnerFloat, ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

use super::{
    Adjoint, DenseMatrix, LinearOperator, SelfAdjoint,
    stack::{stack, transpose, unstack, upload},
};

/// Largest |aᵢⱼ − aⱼᵢ| / max|a| of a matrix that is taken to be symmetric.
pub(super) const SYMMETRY_TOLERANCE: f64 = 1e-12;

/// A square matrix as an operator.
///
/// # Cost
/// n² entries on the device; one matrix-vector product, or one matrix product for several vectors.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::{Dense, DenseMatrix}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let x = space.vector(&[1.0, 1.0])?;
/// let a = Dense::new(&DenseMatrix::from_rows(&[[1.0, 2.0], [3.0, 4.0]])?, &space)?;
/// assert_eq!(a.apply(&x)?.to_vec()?, [3.0, 7.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Clone)]
pub struct Dense<B: AutodiffBackend = DefaultBackend> {
    /// Shape `[n, n]`.
    matrix: InnerFloat<B>,
    space: ParamSpace<B>,
}

impl<B: AutodiffBackend> Dense<B> {
    /// Puts a matrix on the device of a space, in its precision.
    ///
    /// # Errors
    /// [`OperatorError::MatrixSize`](crate::errors::OperatorError::MatrixSize) if the matrix is not n×n for a space of dimension n.
    pub fn new(matrix: &DenseMatrix, space: &ParamSpace<B>) -> Result<Self, Error> {
        let n = space.len();
        matrix.expect_size(n, n)?;
        Ok(Self { matrix: upload(matrix.values(), [n, n], space), space: space.clone() })
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Dense<B> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.space
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.multiply(self.matrix.clone(), vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        if vectors.len() < 2 {
            return vectors.iter().map(|vector| self.apply(vector)).collect();
        }
        for vector in vectors {
            self.space.expect_same(vector.space())?;
        }
        // A on the left, as it lies in memory: NdArray is several times slower with Aᵀ on the right.
        let columns = transpose::<B>(stack(vectors));
        let products = Inner::<B>::float_matmul(self.matrix.clone(), columns);
        let products = transpose::<B>(products);
        unstack(&self.space, products, vectors.len())
    }
}

impl<B: AutodiffBackend> Adjoint<B> for Dense<B> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.multiply(transpose::<B>(self.matrix.clone()), vector)
    }
}

impl<B: AutodiffBackend> Dense<B> {
    fn multiply(
        &self,
        matrix: InnerFloat<B>,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        self.space.expect_same(vector.space())?;
        let n = vector.len();
        let column = Inner::<B>::float_reshape(vector.flat_tensor(), [n, 1].into());
        let product = Inner::<B>::float_matmul(matrix, column);
        let product = Inner::<B>::float_reshape(product, [n].into());
        Ok(self.space.from_flat_tensor(product)?)
    }
}

impl<B: AutodiffBackend> fmt::Debug for Dense<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dense").field("space", &self.space).finish_non_exhaustive()
    }
}

/// A symmetric matrix as an operator. The symmetry is checked, so that solvers for symmetric systems accept it.
///
/// # Cost
/// As [`Dense`].
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ConjugateGradientConfig, LinearSolver, ParamSpace, operator::{DenseMatrix, SymmetricDense}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = SymmetricDense::new(&DenseMatrix::from_rows(&[[2.0, 1.0], [1.0, 2.0]])?, &space)?;
/// let solution = ConjugateGradientConfig::new().init()?.solve(&a, &space.vector(&[3.0, 3.0])?)?;
/// assert_eq!(solution.x.to_vec()?, [1.0, 1.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SymmetricDense<B: AutodiffBackend = DefaultBackend> {
    dense: Dense<B>,
}

impl<B: AutodiffBackend> SymmetricDense<B> {
    /// Puts a matrix on the device of a space, in its precision.
    ///
    /// # Errors
    /// [`OperatorError::NotSymmetric`](crate::errors::OperatorError::NotSymmetric) if |aᵢⱼ − aⱼᵢ| exceeds 1e-12 of the largest
    /// entry; [`OperatorError::MatrixSize`](crate::errors::OperatorError::MatrixSize).
    pub fn new(matrix: &DenseMatrix, space: &ParamSpace<B>) -> Result<Self, Error> {
        let dense = Dense::new(matrix, space)?;
        matrix.expect_symmetric(SYMMETRY_TOLERANCE)?;
        Ok(Self { dense })
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for SymmetricDense<B> {
    fn domain(&self) -> &ParamSpace<B> {
        self.dense.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.dense.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.dense.apply_many(vectors)
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for SymmetricDense<B> {}

impl<B: AutodiffBackend> Adjoint<B> for SymmetricDense<B> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.dense.apply(vector)
    }
}
