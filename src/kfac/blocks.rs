//! Products of factors with the matrices of a layer, on the device. Knows tensors, not where factors come from.

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{
    moment::{Eigen, Moment},
    plan::upload,
};
use crate::space::{Inner, InnerFloat, ParamVector};

/// One side of a product: a matrix a group, or a diagonal.
#[derive(Clone)]
pub(super) enum Side<B: AutodiffBackend> {
    /// `[groups, size, size]`
    Matrix(InnerFloat<B>),
    /// `[1, size, 1]` on the left.
    Diagonal(InnerFloat<B>),
    /// I
    Identity,
}

impl<B: AutodiffBackend> Side<B> {
    pub fn moment(moment: &Moment, like: &ParamVector<B>) -> Self {
        match moment {
            Moment::Dense { groups, size, values } => {
                Self::Matrix(upload(values, [*groups, *size, *size], like.space()))
            }
            Moment::Diagonal(values) => {
                Self::Diagonal(upload(values, [1, values.len(), 1], like.space()))
            }
        }
    }

    /// The eigenvectors.
    pub fn basis(eigen: &Eigen, like: &ParamVector<B>) -> Self {
        match &eigen.vectors {
            Some(vectors) => {
                Self::Matrix(upload(vectors, [eigen.groups, eigen.size, eigen.size], like.space()))
            }
            None => Self::Identity,
        }
    }

    /// The matrix, where it is one.
    pub fn matrix(&self) -> Option<InnerFloat<B>> {
        match self {
            Self::Matrix(matrix) => Some(matrix.clone()),
            Self::Diagonal(_) | Self::Identity => None,
        }
    }

    /// The side times V, or its transpose times V.
    pub fn left(&self, transposed: bool, v: InnerFloat<B>) -> InnerFloat<B> {
        match self {
            Self::Matrix(matrix) => Inner::<B>::float_matmul(turned::<B>(matrix, transposed), v),
            Self::Diagonal(diagonal) => Inner::<B>::float_mul(v, diagonal.clone()),
            Self::Identity => v,
        }
    }

    /// V times the side, or times its transpose. A diagonal never stands on the right.
    fn right(&self, transposed: bool, v: InnerFloat<B>) -> InnerFloat<B> {
        match self {
            Self::Matrix(matrix) => Inner::<B>::float_matmul(v, turned::<B>(matrix, transposed)),
            Self::Diagonal(_) | Self::Identity => v,
        }
    }
}

fn turned<B: AutodiffBackend>(matrix: &InnerFloat<B>, transposed: bool) -> InnerFloat<B> {
    match transposed {
        true => Inner::<B>::float_swap_dims(matrix.clone(), 1, 2),
        false => matrix.clone(),
    }
}

/// A linear map of a layer's matrix.
#[derive(Clone)]
pub(super) enum BlockMap<B: AutodiffBackend> {
    /// V ↦ A V G
    Sandwich { left: Side<B>, right: Side<B> },
    /// V ↦ U (M ∘ (Uᵀ V W)) Wᵀ
    Spectral {
        left: Side<B>,
        right: Side<B>,
        /// `[groups, d_in, d_out]`
        middle: InnerFloat<B>,
    },
}

impl<B: AutodiffBackend> BlockMap<B> {
    pub fn apply(&self, v: InnerFloat<B>) -> InnerFloat<B> {
        match self {
            Self::Sandwich { left, right } => right.right(false, left.left(false, v)),
            Self::Spectral { left, right, middle } => {
                let rotated = right.right(false, left.left(true, v));
                let scaled = Inner::<B>::float_mul(rotated, middle.clone());
                right.right(true, left.left(false, scaled))
            }
        }
    }
}
