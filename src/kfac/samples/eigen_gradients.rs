//! Gradients of some samples in the eigenbases of an operator's blocks.

use burn_backend::{AutodiffBackend, Slice, TensorMetadata, ops::FloatTensorOps};

use super::forms::BlockForm;
use crate::{
    error::Error,
    kfac::program::{Selected, joined, one_of_many},
    space::{Inner, InnerFloat, read_tensor, sum},
    tensor::reshape,
};

/// Uᵀ∇ℓₙW of some samples, for each block with its eigenbases U and W.
pub(crate) struct EigenGradients<B: AutodiffBackend> {
    pub(super) count: usize,
    pub(super) blocks: Vec<OfBlock<B>>,
}

pub(super) struct OfBlock<B: AutodiffBackend> {
    pub selected: Selected,
    /// As the program of selected gradients returns them.
    pub tensors: Vec<InnerFloat<B>>,
}

impl<B: AutodiffBackend> EigenGradients<B> {
    /// Of several batches, one after another.
    pub(super) fn joined(mut some: Vec<Self>) -> Option<Self> {
        if some.len() < 2 {
            return some.pop();
        }
        let count = some.iter().map(|one| one.count).sum();
        let joined = |at: usize| {
            let each = some.iter().filter_map(|one| one.blocks.get(at));
            let places = each.clone().map(|one| one.selected.places).max()?;
            let single = each.clone().all(|one| one.selected.single);
            let side =
                |side| cat::<B>(each.clone().filter_map(|one| one.tensors.get(side).cloned()));
            let tensors = if single {
                vec![side(0), side(1)]
            } else {
                vec![cat::<B>(each.map(OfBlock::matrices))]
            };
            Some(OfBlock { selected: Selected { single, places }, tensors })
        };
        let blocks = (0..some.first()?.blocks.len()).map(joined).collect::<Option<_>>()?;
        Some(Self { count, blocks })
    }

    /// Whether all elements are finite, and their sums too.
    pub fn are_finite(&self) -> Result<bool, Error> {
        let tensors = self.blocks.iter().flat_map(|block| &block.tensors);
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
            let tensors = block.sides.iter().chain(&block.eigenvalues).chain(&own.tensors);
            operands.extend(tensors.cloned());
        }
        operands
    }
}

impl<B: AutodiffBackend> OfBlock<B> {
    /// `[count, groups, d_in, d_out]`
    fn matrices(&self) -> InnerFloat<B> {
        let [a, g] = match &self.tensors[..] {
            [a, g] => [a.clone(), g.clone()],
            others => return cat::<B>(others.iter().cloned()),
        };
        let (count, groups, d_in) = (a.shape()[0], a.shape()[2], a.shape()[3]);
        let d_out = g.shape()[3];
        let a = reshape::<Inner<B>>(a, &[count * groups, d_in, 1]);
        let g = reshape::<Inner<B>>(g, &[count * groups, 1, d_out]);
        reshape::<Inner<B>>(Inner::<B>::float_matmul(a, g), &[count, groups, d_in, d_out])
    }

    /// U (S ∘ T) Wᵀ, out of the eigenbases.
    pub fn multiplied(&self, block: &BlockForm<'_, B>) -> InnerFloat<B> {
        let matrices = self.matrices();
        let (_, [left, right], eigenvalues) = block.product.factors();
        let shape = block.shape();
        let each = (0..matrices.shape()[0]).map(|at| {
            let one = Inner::<B>::float_slice(matrices.clone(), &[Slice::from(at..at + 1)]);
            let mut own = reshape::<Inner<B>>(one, &shape);
            if let Some(eigenvalues) = eigenvalues {
                own = Inner::<B>::float_mul(own, eigenvalues.clone());
            }
            one_of_many::<Inner<B>>(right.right(true, left.left(false, own)))
        });
        cat::<B>(each)
    }
}

/// One after another; a single one as it is.
fn cat<B: AutodiffBackend>(tensors: impl Iterator<Item = InnerFloat<B>>) -> InnerFloat<B> {
    joined::<Inner<B>>(tensors.collect(), 0)
}
