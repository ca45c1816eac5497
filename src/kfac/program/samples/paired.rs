//! The gradients of samples in other bases, and products of two of them there. Independent of layers.

use burn_backend::{
    Backend,
    tensor::{FloatTensor, IntTensor},
};

use super::outer::{Left, Outer};
use crate::{
    kfac::program::rows::{Rows, one_of_many},
    operator::KroneckerSide,
    tensor::reshape,
};

/// The gradients ∇ₘ of other samples by the same matrix.
pub(super) enum Others<B: Backend> {
    /// ∇ₘ = a gᵀ with a, `[others, 1, groups, d_in]`, and g, `[others, 1, groups, d_out]`.
    Outer(Rows<B>, Rows<B>),
    /// `[others, groups, d_in, d_out]`
    Matrices(FloatTensor<B>),
}

impl<B: Backend> Outer<B> {
    /// Lᵀ∇ₙR
    pub fn rotated(&self, left: &KroneckerSide<B>, right: &KroneckerSide<B>) -> Self {
        let left = match (&self.left, left.size()) {
            (Left::Indices(indices), None) => Left::Indices(indices.clone()),
            (Left::Indices(indices), Some(size)) => {
                return self.written_out(indices, size).rotated(left, right);
            }
            (Left::Rows(rows), _) => Left::Rows(left.times(rows)),
        };
        Self { left, right: right.times(&self.right) }
    }

    /// The gradients of the samples at some indices, `[count]`.
    pub fn selected(&self, at: &IntTensor<B>) -> Self {
        let left = match &self.left {
            Left::Rows(rows) => Left::Rows(rows.selected(at)),
            Left::Indices(indices) => Left::Indices(B::int_select(indices.clone(), 0, at.clone())),
        };
        Self { left, right: self.right.selected(at) }
    }

    /// a and g where every gradient is a single outer product.
    pub fn single(&self) -> Option<[FloatTensor<B>; 2]> {
        match &self.left {
            Left::Rows(a) if self.right.sizes()[1] == 1 => Some([a.rows(), self.right.rows()]),
            _ => None,
        }
    }

    /// The gradients themselves, `[samples, groups, d_in, d_out]`, of a matrix with `d_in` rows.
    pub fn matrices(&self, d_in: usize) -> FloatTensor<B> {
        match &self.left {
            Left::Rows(a) => a.products(&self.right),
            Left::Indices(indices) => self.written_out(indices, d_in).matrices(d_in),
        }
    }

    /// Σ of S ∘ ∇ₙ ∘ ∇ₘ with eigenvalues S, `[groups, d_in, d_out]`: `[samples, others]`.
    pub fn paired(&self, others: &Others<B>, eigenvalues: &FloatTensor<B>) -> FloatTensor<B> {
        match (&self.left, others) {
            (Left::Rows(a), Others::Outer(of_a, of_g)) if self.right.sizes()[1] == 1 => {
                let [others, _, groups, d_out] = of_g.sizes();
                let held = 2 * others * groups * (a.width() + d_out);
                self.in_chunks(held, |some| some.at_one_place_with(of_a, of_g, eigenvalues))
            }
            (_, Others::Outer(a, g)) => self.paired(&Others::Matrices(a.products(g)), eigenvalues),
            (_, Others::Matrices(matrices)) => {
                let eigenvalues = one_of_many::<B>(eigenvalues.clone());
                self.inner(&B::float_mul(matrices.clone(), eigenvalues))
            }
        }
    }

    /// (aₙ ∘ aₘ)ᵀ S (gₙ ∘ gₘ)
    fn at_one_place_with(
        &self,
        of_a: &Rows<B>,
        of_g: &Rows<B>,
        eigenvalues: &FloatTensor<B>,
    ) -> FloatTensor<B> {
        let Left::Rows(a) = &self.left else {
            return self.paired(&Others::Matrices(of_a.products(of_g)), eigenvalues);
        };
        let weighted = B::float_matmul(pairs(a, of_a), eigenvalues.clone());
        let sums = B::float_sum_dim(B::float_mul(weighted, pairs(&self.right, of_g)), 2);
        let [samples, _, groups, _] = self.right.sizes();
        let others = of_g.sizes()[0];
        let sums = reshape::<B>(sums, &[groups, samples, others]);
        reshape::<B>(B::float_sum_dim(sums, 0), &[samples, others])
    }
}

/// The products of every row with every other one, element by element: `[groups, rows·others, width]`.
fn pairs<B: Backend>(rows: &Rows<B>, others: &Rows<B>) -> FloatTensor<B> {
    let [count, _, groups, width] = rows.sizes();
    let of = others.sizes()[0];
    let rows = reshape::<B>(rows.by_group(), &[groups, count, 1, width]);
    let others = reshape::<B>(others.by_group(), &[groups, 1, of, width]);
    reshape::<B>(B::float_mul(rows, others), &[groups, count * of, width])
}
