//! The gradients of samples by one matrix, as sums of outer products. Independent of what they are multiplied by.

use std::ops::Range;

use burn_backend::{
    Backend, Shape, Slice, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};

use crate::kfac::program::rows::{Rows, joined};

/// Largest number of elements that are held for some of the samples at a time.
const MOST_HELD: usize = 1 << 22;

/// ∇ₙ = Σ over places of a gᵀ, for every sample n.
pub(super) struct Outer<B: Backend> {
    pub left: Left<B>,
    pub right: Rows<B>,
}

/// The inputs of a layer.
pub(super) enum Left<B: Backend> {
    Rows(Rows<B>),
    /// The rows of an embedding, `[samples, places]`.
    Indices(IntTensor<B>),
}

impl<B: Backend> Outer<B> {
    /// Gradients that are written down, one row per sample: a gᵀ with g = 1.
    pub fn of_rows(rows: Rows<B>) -> Self {
        let tensor = rows.rows();
        let shape = Shape::from([rows.sizes()[0], 1, 1, 1]);
        let ones = B::float_ones(shape, &tensor.device(), tensor.dtype().into());
        Self { left: Left::Rows(rows), right: Rows::Rows(ones) }
    }

    /// `each` of some samples after others, so that not more than a limit is held, where a sample takes `held` elements.
    /// `[samples, …]`
    pub fn in_chunks(&self, held: usize, each: impl Fn(&Self) -> FloatTensor<B>) -> FloatTensor<B> {
        let samples = self.right.sizes()[0];
        let step = (MOST_HELD / held.max(1)).clamp(1, samples.max(1));
        if step >= samples {
            return each(self);
        }
        let starts = (0..samples).step_by(step);
        let chunks = starts.map(|start| each(&self.narrowed(start..samples.min(start + step))));
        joined::<B>(chunks.collect(), 0)
    }

    fn narrowed(&self, samples: Range<usize>) -> Self {
        let slices = [Slice::from(samples.clone())];
        let left = match &self.left {
            Left::Rows(rows) => Left::Rows(rows.narrowed(samples.clone())),
            Left::Indices(indices) => Left::Indices(B::int_slice(indices.clone(), &slices)),
        };
        Self { left, right: self.right.narrowed(samples) }
    }

    /// The rows of an embedding written out, for a table with `width` rows.
    pub fn written_out(&self, indices: &IntTensor<B>, width: usize) -> Self {
        let right = self.right.rows();
        let rows = Rows::one_hot(indices.clone(), width, right.dtype());
        Self { left: Left::Rows(rows), right: Rows::Rows(right) }
    }
}
