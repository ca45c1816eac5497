//! One factor of a Kronecker product on the device. Depends on tensors; independent of where factors come from.

use burn_backend::{AutodiffBackend, Shape, TensorMetadata, ops::FloatTensorOps};

use crate::space::{Inner, InnerFloat};

/// A factor of a Kronecker product: a matrix per group, a diagonal, or a multiple of the identity.
#[derive(Clone, Debug)]
pub(crate) enum KroneckerSide<B: AutodiffBackend> {
    /// `[groups, size, size]`
    Matrix(InnerFloat<B>),
    /// `[size]`, the same in all groups.
    Diagonal(InnerFloat<B>),
    /// c·I
    Multiple(f64),
}

impl<B: AutodiffBackend> KroneckerSide<B> {
    pub const IDENTITY: Self = Self::Multiple(1.0);

    /// The matrix, if it is one.
    pub fn matrix(&self) -> Option<&InnerFloat<B>> {
        match self {
            Self::Matrix(matrix) => Some(matrix),
            Self::Diagonal(_) | Self::Multiple(_) => None,
        }
    }

    /// The side, or its transpose, times V.
    pub fn left(&self, transposed: bool, v: InnerFloat<B>) -> InnerFloat<B> {
        match self {
            Self::Matrix(matrix) => Inner::<B>::float_matmul(oriented::<B>(matrix, transposed), v),
            Self::Diagonal(diagonal) => Inner::<B>::float_mul(v, shaped::<B>(diagonal, true)),
            Self::Multiple(factor) => times::<B>(v, *factor),
        }
    }

    /// V times the side, or its transpose.
    pub fn right(&self, transposed: bool, v: InnerFloat<B>) -> InnerFloat<B> {
        match self {
            Self::Matrix(matrix) => Inner::<B>::float_matmul(v, oriented::<B>(matrix, transposed)),
            Self::Diagonal(diagonal) => Inner::<B>::float_mul(v, shaped::<B>(diagonal, false)),
            Self::Multiple(factor) => times::<B>(v, *factor),
        }
    }
}

fn oriented<B: AutodiffBackend>(matrix: &InnerFloat<B>, transposed: bool) -> InnerFloat<B> {
    let matrix = matrix.clone();
    if transposed { Inner::<B>::float_swap_dims(matrix, 1, 2) } else { matrix }
}

/// A diagonal as a column or a row.
fn shaped<B: AutodiffBackend>(diagonal: &InnerFloat<B>, column: bool) -> InnerFloat<B> {
    let size = diagonal.shape().num_elements();
    let shape = if column { [1, size, 1] } else { [1, 1, size] };
    Inner::<B>::float_reshape(diagonal.clone(), Shape::from(shape))
}

fn times<B: AutodiffBackend>(v: InnerFloat<B>, factor: f64) -> InnerFloat<B> {
    if factor == 1.0 { v } else { Inner::<B>::float_mul_scalar(v, factor.into()) }
}
