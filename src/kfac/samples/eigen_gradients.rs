//! Gradients of some samples in the eigenbases of an operator's blocks.

use burn_backend::{AutodiffBackend, Shape, Slice, TensorMetadata, ops::FloatTensorOps};

use super::forms::BlockForm;
use crate::{
    error::Error,
    kfac::program::Selected,
    space::{Inner, InnerFloat, read_tensor, sum},
};

/// Uᵀ∇ℓₙW of some samples, for each block with its eigenbases U and W.
pub(crate) struct EigenGradients<B: AutodiffBackend> {
    pub(super) count: usize,
    pub(super) blocks: Vec<OfBlock<B>>,
    pub(super) selected: Vec<Selected>,
}

pub(super) enum OfBlock<B: AutodiffBackend> {
    /// Uᵀa and Wᵀg, `[count, 1, groups, d_in]` and `[count, 1, groups, d_out]`.
    Outer([InnerFloat<B>; 2]),
    /// `[count, groups, d_in, d_out]`
    Matrices(InnerFloat<B>),
}

impl<B: AutodiffBackend> EigenGradients<B> {
    /// Of several batches, one after another.
    pub(super) fn joined(mut some: Vec<Self>) -> Option<Self> {
        if some.len() < 2 {
            return some.pop();
        }
        let count = some.iter().map(|one| one.count).sum();
        let mut selected = some.first()?.selected.clone();
        let mut blocks = Vec::with_capacity(selected.len());
        for (at, own) in selected.iter_mut().enumerate() {
            let each = some.iter().filter_map(|one| one.blocks.get(at));
            own.places = some.iter().filter_map(|one| Some(one.selected.get(at)?.places)).max()?;
            own.single = each.clone().all(|block| matches!(block, OfBlock::Outer(_)));
            blocks.push(if own.single {
                let side = |side| cat::<B>(each.clone().filter_map(|one| one.factor(side)));
                OfBlock::Outer([side(0), side(1)])
            } else {
                OfBlock::Matrices(cat::<B>(each.map(OfBlock::matrices)))
            });
        }
        Some(Self { count, blocks, selected })
    }

    /// Whether all elements are finite, and their sums too.
    pub fn are_finite(&self) -> Result<bool, Error> {
        let tensors = self.blocks.iter().flat_map(|block| match block {
            OfBlock::Outer([a, g]) => vec![a, g],
            OfBlock::Matrices(matrices) => vec![matrices],
        });
        let sums: Vec<_> = tensors.map(|tensor| sum::<B>(tensor.clone())).collect();
        if sums.is_empty() {
            return Ok(true);
        }
        Ok(read_tensor::<B>(cat::<B>(sums.into_iter()))?.iter().all(|sum| sum.is_finite()))
    }

    /// What the program of products takes for each block: the bases, the eigenvalues, and these gradients.
    pub(super) fn beside(&self, blocks: &[BlockForm<'_, B>]) -> Vec<InnerFloat<B>> {
        let mut operands = Vec::new();
        for (own, block) in self.blocks.iter().zip(blocks) {
            operands.extend(block.sides.iter().chain(&block.eigenvalues).cloned());
            match own {
                OfBlock::Outer(factors) => operands.extend(factors.iter().cloned()),
                OfBlock::Matrices(matrices) => operands.push(matrices.clone()),
            }
        }
        operands
    }
}

impl<B: AutodiffBackend> OfBlock<B> {
    fn factor(&self, side: usize) -> Option<InnerFloat<B>> {
        match self {
            Self::Outer(factors) => factors.get(side).cloned(),
            Self::Matrices(_) => None,
        }
    }

    /// `[count, groups, d_in, d_out]`
    fn matrices(&self) -> InnerFloat<B> {
        let [a, g] = match self {
            Self::Matrices(matrices) => return matrices.clone(),
            Self::Outer([a, g]) => [a.clone(), g.clone()],
        };
        let (count, groups, d_in) = (a.shape()[0], a.shape()[2], a.shape()[3]);
        let d_out = g.shape()[3];
        let a = reshaped::<B>(a, vec![count * groups, d_in, 1]);
        let g = reshaped::<B>(g, vec![count * groups, 1, d_out]);
        reshaped::<B>(Inner::<B>::float_matmul(a, g), vec![count, groups, d_in, d_out])
    }

    /// U (S ∘ T) Wᵀ, out of the eigenbases.
    pub fn multiplied(&self, block: &BlockForm<'_, B>) -> InnerFloat<B> {
        let matrices = self.matrices();
        let (_, [left, right], eigenvalues) = block.product.factors();
        let shape = block.shape().to_vec();
        let each = (0..matrices.shape()[0]).map(|at| {
            let one = Inner::<B>::float_slice(matrices.clone(), &[Slice::from(at..at + 1)]);
            let mut own = reshaped::<B>(one, shape.clone());
            if let Some(eigenvalues) = eigenvalues {
                own = Inner::<B>::float_mul(own, eigenvalues.clone());
            }
            let own = right.right(true, left.left(false, own));
            reshaped::<B>(own, [vec![1], shape.clone()].concat())
        });
        cat::<B>(each)
    }
}

fn cat<B: AutodiffBackend>(tensors: impl Iterator<Item = InnerFloat<B>>) -> InnerFloat<B> {
    Inner::<B>::float_cat(tensors.collect(), 0)
}

fn reshaped<B: AutodiffBackend>(tensor: InnerFloat<B>, shape: Vec<usize>) -> InnerFloat<B> {
    Inner::<B>::float_reshape(tensor, Shape::from(shape))
}
