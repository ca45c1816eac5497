//! One factor of a Kronecker product on the device. Depends on tensors; independent of where factors come from.

use burn_backend::{Backend, TensorMetadata, tensor::FloatTensor};

use crate::{
    space::{Inner, InnerFloat},
    tensor::reshape,
};

/// What a block is multiplied by from the left and the right, with the eigenvalues of the spectral form.
pub(crate) type KroneckerSides<B> = ([KroneckerSide<Inner<B>>; 2], Option<InnerFloat<B>>);

/// A factor of a Kronecker product: a matrix per group, a diagonal, or the identity.
#[derive(Clone, Debug)]
pub(crate) enum KroneckerSide<B: Backend> {
    /// `[groups, size, size]`
    Matrix(FloatTensor<B>),
    /// `[size]`, the same in all groups.
    Diagonal(FloatTensor<B>),
    Identity,
}

impl<B: Backend> KroneckerSide<B> {
    /// The matrix, if it is one.
    pub fn matrix(&self) -> Option<&FloatTensor<B>> {
        match self {
            Self::Matrix(matrix) => Some(matrix),
            Self::Diagonal(_) | Self::Identity => None,
        }
    }

    /// The side, or its transpose, times V.
    pub fn left(&self, transposed: bool, v: FloatTensor<B>) -> FloatTensor<B> {
        match self {
            Self::Matrix(matrix) => B::float_matmul(oriented::<B>(matrix, transposed), v),
            Self::Diagonal(diagonal) => {
                let size = diagonal.shape().num_elements();
                B::float_mul(v, reshape::<B>(diagonal.clone(), &[1, size, 1]))
            }
            Self::Identity => v,
        }
    }

    /// V times the side, or its transpose.
    pub fn right(&self, transposed: bool, v: FloatTensor<B>) -> FloatTensor<B> {
        match self {
            Self::Matrix(matrix) => B::float_matmul(v, oriented::<B>(matrix, transposed)),
            Self::Diagonal(diagonal) => {
                let size = diagonal.shape().num_elements();
                B::float_mul(v, reshape::<B>(diagonal.clone(), &[1, 1, size]))
            }
            Self::Identity => v,
        }
    }
}

fn oriented<B: Backend>(matrix: &FloatTensor<B>, transposed: bool) -> FloatTensor<B> {
    let matrix = matrix.clone();
    if transposed { B::float_swap_dims(matrix, 1, 2) } else { matrix }
}
