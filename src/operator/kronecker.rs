//! The Kronecker product of two symmetric matrices, on one matrix-shaped block.

use std::fmt;

use burn_backend::{AutodiffBackend, Shape, Slice, TensorMetadata, ops::FloatTensorOps};

use crate::{
    error::Error,
    space::{Inner, InnerFloat, ParamSpace, ParamVector},
};

use super::{
    Adjoint, DenseMatrix, LinearOperator, OperatorError, SYMMETRY_TOLERANCE, SelfAdjoint,
    stack::upload,
};

/// The Kronecker product A ⊗ G of two symmetric matrices, on a block W of shape `[d_in, d_out]`.
///
/// ```text
/// (A ⊗ G) vec(W) = vec(A W Gᵀ)        A: [d_in, d_in]   G: [d_out, d_out]
/// ```
///
/// vec reads W row by row, as Burn stores the weight of a linear layer: the entry at row i and column o has position
/// i·d_out + o, and the entry of A ⊗ G between (i, o) and (j, p) is Aᵢⱼ·Gₒₚ. In K-FAC, A is the second moment of the
/// layer's inputs, and G that of the gradients of its outputs. (Papers that write weights as `[d_out, d_in]` and stack
/// columns have the same A ⊗ G.)
///
/// # Cost
/// Two matrix products, d_in·d_out·(d_in + d_out) multiply-adds; d_in² + d_out² entries on the device. Several
/// vectors together take two matrix products in all.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{DenseMatrix, Kronecker, ParamSpace, materialize};
///
/// let space = ParamSpace::<Autodiff<Flex>>::from_shapes([("w", [2, 2])])?;
/// let a = DenseMatrix::from_rows(&[[1.0, 2.0], [2.0, 5.0]])?;
/// let g = DenseMatrix::from_rows(&[[3.0, 0.0], [0.0, 7.0]])?;
/// let product = materialize(&Kronecker::new(&a, &g, &space)?)?;
/// let top: Vec<f64> = (0..4).filter_map(|j| product.entry(0, j)).collect();
/// assert_eq!(top, [3.0, 0.0, 6.0, 0.0]); // 1·G next to 2·G
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Martens & Grosse, Optimizing neural networks with Kronecker-factored approximate curvature, 2015, section 3.
#[derive(Clone)]
pub struct Kronecker<B: AutodiffBackend> {
    /// Shape `[d_in, d_in]`.
    left: InnerFloat<B>,
    /// Shape `[d_out, d_out]`.
    right: InnerFloat<B>,
    space: ParamSpace<B>,
}

impl<B: AutodiffBackend> Kronecker<B> {
    /// Puts A and G on the device of a space with one block of shape `[d_in, d_out]`.
    ///
    /// # Errors
    /// [`OperatorError::NotOneMatrix`] if the space is not of one matrix, [`OperatorError::MatrixSize`] if A or G has
    /// another size, [`OperatorError::NotSymmetric`] as for [`SymmetricDense`](crate::SymmetricDense).
    pub fn new(a: &DenseMatrix, g: &DenseMatrix, space: &ParamSpace<B>) -> Result<Self, Error> {
        let blocks = space.layout().blocks();
        let [d_in, d_out] = match blocks {
            [block] => block.shape().try_into().unwrap_or([0, 0]),
            _ => [0, 0],
        };
        if d_in == 0 {
            let shapes = blocks.iter().map(|block| block.shape().to_vec()).collect();
            return Err(OperatorError::NotOneMatrix { shapes }.into());
        }
        Ok(Self {
            left: factor(a, d_in, space)?,
            right: factor(g, d_out, space)?,
            space: space.clone(),
        })
    }

    /// A W Gᵀ of every W, by two products.
    fn products(&self, blocks: Vec<InnerFloat<B>>) -> Vec<InnerFloat<B>> {
        let (count, d_in, d_out) = (blocks.len(), self.left.shape()[0], self.right.shape()[0]);
        // [d_in, count · d_out] → [count · d_in, d_out]
        let side_by_side = Inner::<B>::float_cat(blocks, 1);
        let left = Inner::<B>::float_matmul(self.left.clone(), side_by_side);
        let left = Inner::<B>::float_reshape(left, Shape::from([d_in, count, d_out]));
        let below = Inner::<B>::float_swap_dims(left, 0, 1);
        let below = Inner::<B>::float_reshape(below, Shape::from([count * d_in, d_out]));
        let product = Inner::<B>::float_matmul(below, self.right.clone());
        let rows = (0..count).map(|at| Slice::from(at * d_in..(at + 1) * d_in));
        rows.map(|rows| Inner::<B>::float_slice(product.clone(), &[rows, Slice::full()])).collect()
    }
}

fn factor<B: AutodiffBackend>(
    matrix: &DenseMatrix,
    n: usize,
    space: &ParamSpace<B>,
) -> Result<InnerFloat<B>, Error> {
    matrix.expect_size(n, n)?;
    matrix.expect_symmetric(SYMMETRY_TOLERANCE)?;
    Ok(upload(matrix.values(), [n, n], space))
}

impl<B: AutodiffBackend> LinearOperator<B> for Kronecker<B> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.space
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.space.expect_same(vector.space())?;
        let products = vector.blocks().iter().map(|w| {
            let left = Inner::<B>::float_matmul(self.left.clone(), w.clone());
            Inner::<B>::float_matmul(left, self.right.clone())
        });
        Ok(vector.rebuilt(vector.layout().clone(), products.collect()))
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        if vectors.len() < 2 {
            return vectors.iter().map(|vector| self.apply(vector)).collect();
        }
        for vector in vectors {
            self.space.expect_same(vector.space())?;
        }
        let blocks = vectors.iter().flat_map(|vector| vector.blocks()).cloned();
        let products = self.products(blocks.collect()).into_iter().zip(vectors);
        let each = products.map(|(w, vector)| vector.rebuilt(vector.layout().clone(), vec![w]));
        Ok(each.collect())
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Kronecker<B> {}

impl<B: AutodiffBackend> Adjoint<B> for Kronecker<B> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.apply(vector)
    }
}

impl<B: AutodiffBackend> fmt::Debug for Kronecker<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kronecker").field("space", &self.space).finish_non_exhaustive()
    }
}
