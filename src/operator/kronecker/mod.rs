//! The Kronecker product of two symmetric matrices, on the weight and bias of a layer. Depends on tensors; independent of
//! other operators.

mod side;
mod weight_matrix;

pub(crate) use side::{KroneckerSide, KroneckerSides};
pub(crate) use weight_matrix::WeightMatrix;

use std::fmt;

use burn_backend::{AutodiffBackend, Slice, ops::FloatTensorOps};

use crate::{
    error::Error,
    space::{Inner, InnerFloat, ParamSpace, ParamVector},
    tensor::{DefaultBackend, reshape},
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
/// vec reads W row by row, as Burn stores the weight of a linear layer: the element at row i and column o has position
/// i·d_out + o, and the entry of A ⊗ G between (i, o) and (j, p) is Aᵢⱼ·Gₒₚ. In K-FAC, A is the second moment of the
/// layer's inputs, and G that of the gradients of its outputs. (Papers that write weights as `[d_out, d_in]` and stack
/// columns have the same A ⊗ G.)
///
/// A bias of shape `[d_out]` may follow the weight: it is the last row of W, and A has d_in + 1 rows.
///
/// The blocks of [`Kfac`](crate::Kfac) are such products too. Some of them have a pair of factors for each group of a
/// convolution, a diagonal A, or the spectral form U(S ∘ (UᵀWV))Vᵀ with the eigenvectors U of A and V of G.
///
/// # Cost
/// Two matrix products, d_in·d_out·(d_in + d_out) multiply-adds, twice as many in spectral form; d_in² + d_out² elements
/// on the device. Several vectors together take the same number of products, each of one factor with all of them side by
/// side.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ParamSpace, materialize, operator::{DenseMatrix, Kronecker}};
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
pub struct Kronecker<B: AutodiffBackend = DefaultBackend> {
    matrix: WeightMatrix,
    left: KroneckerSide<Inner<B>>,
    right: KroneckerSide<Inner<B>>,
    /// The eigenvalues of the spectral form, whose sides are eigenvectors: `[groups, rows, columns]`.
    eigenvalues: Option<InnerFloat<B>>,
    space: ParamSpace<B>,
}

impl<B: AutodiffBackend> Kronecker<B> {
    /// Puts A and G on the device of a space with one block of shape `[d_in, d_out]`, and perhaps a second of shape
    /// `[d_out]`.
    ///
    /// # Errors
    /// [`OperatorError::NotOneMatrix`] if the space is not that of one matrix, [`OperatorError::MatrixSize`] if A or G has
    /// another size, [`OperatorError::NotSymmetric`] as for [`SymmetricDense`](crate::operator::SymmetricDense).
    pub fn new(a: &DenseMatrix, g: &DenseMatrix, space: &ParamSpace<B>) -> Result<Self, Error> {
        let shapes: Vec<_> =
            space.layout().blocks().iter().map(|block| block.shape().to_vec()).collect();
        let (shape, bias) = match &shapes[..] {
            [weight] if weight.len() == 2 => (weight.clone(), None),
            [weight, bias] if weight.len() == 2 && bias[..] == weight[1..] => {
                (weight.clone(), Some(1))
            }
            _ => return Err(OperatorError::NotOneMatrix { shapes }.into()),
        };
        let (rows, columns) = (shape[0] + usize::from(bias.is_some()), shape[1]);
        let matrix =
            WeightMatrix { groups: 1, rows, columns, shape, transposed: false, weight: 0, bias };
        let sides = [side(a, rows, space)?, side(g, columns, space)?];
        Ok(Self::of_sides(space.clone(), matrix, (sides, None)))
    }

    /// How the parameters form a matrix, what it is multiplied by from the left and the right, and the eigenvalues of the
    /// spectral form.
    #[allow(clippy::type_complexity)]
    pub(crate) fn factors(
        &self,
    ) -> (&WeightMatrix, [&KroneckerSide<Inner<B>>; 2], Option<&InnerFloat<B>>) {
        (&self.matrix, [&self.left, &self.right], self.eigenvalues.as_ref())
    }

    /// V ↦ A V G for sides A and G. With eigenvalues S, `[groups, rows, columns]`, the sides are eigenvectors U and W:
    /// V ↦ U (S ∘ (Uᵀ V W)) Wᵀ.
    pub(crate) fn of_sides(
        space: ParamSpace<B>,
        matrix: WeightMatrix,
        ([left, right], eigenvalues): KroneckerSides<B>,
    ) -> Self {
        Self { matrix, left, right, eigenvalues, space }
    }

    /// The product with one matrix `[groups, rows, columns]`, or with `count` matrices side by side,
    /// `[groups, rows, count·columns]`. Those of several are below each other, `[groups, count·rows, columns]`.
    fn product(&self, v: InnerFloat<B>, count: usize) -> InnerFloat<B> {
        let WeightMatrix { groups, rows, columns, .. } = self.matrix;
        // Matrices that are side by side, below each other, and back.
        let below = |v| {
            let v = swapped::<B>(v, [groups, rows, count, columns]);
            reshape::<Inner<B>>(v, &[groups, count * rows, columns])
        };
        let Some(eigenvalues) = &self.eigenvalues else {
            return self.right.right(false, below(self.left.left(false, v)));
        };
        let rotated = self.right.right(false, below(self.left.left(true, v)));
        let rotated = reshape::<Inner<B>>(rotated, &[groups, count, rows, columns]);
        let eigenvalues = reshape::<Inner<B>>(eigenvalues.clone(), &[groups, 1, rows, columns]);
        let scaled = Inner::<B>::float_mul(rotated, eigenvalues);
        let beside = swapped::<B>(scaled, [groups, count, rows, columns]);
        let beside = reshape::<Inner<B>>(beside, &[groups, rows, count * columns]);
        self.right.right(true, below(self.left.left(false, beside)))
    }
}

/// A tensor of this shape with its second and third dimension exchanged, which changes nothing where one of them is 1.
fn swapped<B: AutodiffBackend>(tensor: InnerFloat<B>, shape: [usize; 4]) -> InnerFloat<B> {
    if shape[1] == 1 || shape[2] == 1 {
        return tensor;
    }
    Inner::<B>::float_swap_dims(reshape::<Inner<B>>(tensor, &shape), 1, 2)
}

fn side<B: AutodiffBackend>(
    matrix: &DenseMatrix,
    n: usize,
    space: &ParamSpace<B>,
) -> Result<KroneckerSide<Inner<B>>, Error> {
    matrix.expect_size(n, n)?;
    matrix.expect_symmetric(SYMMETRY_TOLERANCE)?;
    Ok(KroneckerSide::Matrix(upload(matrix.values(), [1, n, n], space)))
}

impl<B: AutodiffBackend> LinearOperator<B> for Kronecker<B> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.space
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.space.expect_same(vector.space())?;
        let matrix = self.matrix.gather::<B>(vector.blocks());
        let blocks = matrix.map(|v| self.matrix.scatter::<B>(self.product(v, 1)));
        Ok(vector.rebuilt(vector.layout().clone(), blocks.unwrap_or_default()))
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        if vectors.len() < 2 {
            return vectors.iter().map(|vector| self.apply(vector)).collect();
        }
        for vector in vectors {
            self.space.expect_same(vector.space())?;
        }
        let matrices = vectors.iter().filter_map(|v| self.matrix.gather::<B>(v.blocks()));
        let side_by_side = Inner::<B>::float_cat(matrices.collect(), 2);
        let below = self.product(side_by_side, vectors.len());
        let rows = self.matrix.rows;
        let each = vectors.iter().enumerate().map(|(at, vector)| {
            let range = [Slice::full(), Slice::from(at * rows..(at + 1) * rows)];
            let product = Inner::<B>::float_slice(below.clone(), &range);
            vector.rebuilt(vector.layout().clone(), self.matrix.scatter::<B>(product))
        });
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
        f.debug_struct("Kronecker").field("matrix", &self.matrix).finish_non_exhaustive()
    }
}
