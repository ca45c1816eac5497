//! Quadratic forms of the gradients of samples. Independent of layers.

use burn_backend::{
    Backend, Shape, TensorMetadata, get_or_init_device_settings,
    tensor::{FloatTensor, IntTensor},
};

use super::outer::{Left, Outer};
use crate::{
    kfac::program::rows::{Rows, one_of_many},
    operator::KroneckerSide,
    tensor::reshape,
};

/// V ↦ L V R, or with eigenvalues S, `[groups, d_in, d_out]`, V ↦ L (S ∘ (Lᵀ V R)) Rᵀ.
pub(super) struct Sides<B: Backend> {
    pub left: KroneckerSide<B>,
    pub right: KroneckerSide<B>,
    pub eigenvalues: Option<FloatTensor<B>>,
}

impl<B: Backend> KroneckerSide<B> {
    /// Rows and columns, unless they are not known.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            KroneckerSide::Identity => None,
            KroneckerSide::Diagonal(diagonal) => Some(diagonal.shape().num_elements()),
            KroneckerSide::Matrix(matrix) => matrix.shape().last().copied(),
        }
    }

    /// Each row times the factor.
    pub(super) fn times(&self, rows: &Rows<B>) -> Rows<B> {
        match self {
            KroneckerSide::Identity => rows.clone(),
            KroneckerSide::Diagonal(diagonal) => {
                let size = diagonal.shape().num_elements();
                let diagonal = reshape::<B>(diagonal.clone(), &[1, 1, 1, size]);
                Rows::Rows(B::float_mul(rows.rows(), diagonal))
            }
            KroneckerSide::Matrix(matrix) => rows.clone().rotated(Some(matrix)),
        }
    }
}

impl<B: Backend> Outer<B> {
    /// ⟨∇ₙ, M ∇ₙ⟩, `[samples, 1]`.
    pub fn quadratic(&self, sides: &Sides<B>) -> FloatTensor<B> {
        if let (Left::Indices(indices), KroneckerSide::Matrix(matrix)) = (&self.left, &sides.left) {
            return self.written_out(indices, matrix.shape()[2]).quadratic(sides);
        }
        let [_, places, groups, d_out] = self.right.sizes();
        let in_pairs =
            |a: &Rows<B>| sides.eigenvalues.is_none() && places * places <= a.width() * d_out;
        let held = match &self.left {
            Left::Indices(_) => 2 * places * (places + d_out),
            Left::Rows(_) if places == 1 => 0,
            Left::Rows(a) if in_pairs(a) => 2 * groups * places * places,
            Left::Rows(a) => 2 * groups * a.width() * d_out,
        };
        self.in_chunks(held, |Outer { left, right: g }| {
            let products = match left {
                Left::Indices(indices) => sides.of_equal_rows(indices, g),
                Left::Rows(a) if places == 1 => sides.at_one_place(a, g),
                Left::Rows(a) if in_pairs(a) => sides.between_places(a, g),
                Left::Rows(a) => sides.of_matrices(a, g),
            };
            // Σ over all elements of each sample.
            let samples = g.sizes()[0];
            let rest = products.shape().num_elements() / samples.max(1);
            B::float_sum_dim(reshape::<B>(products, &[samples, rest]), 1)
        })
    }
}

/// Values whose sums over all elements of each sample are the forms, samples first.
impl<B: Backend> Sides<B> {
    /// aᵀLa · gᵀRg, or Σ of S times the squares of both.
    fn at_one_place(&self, a: &Rows<B>, g: &Rows<B>) -> FloatTensor<B> {
        let (left, right) = (self.left.times(a), self.right.times(g));
        let [samples, _, groups, _] = g.sizes();
        let Some(eigenvalues) = &self.eigenvalues else {
            let dot =
                |a: &Rows<B>, b: &Rows<B>| B::float_sum_dim(B::float_mul(a.rows(), b.rows()), 3);
            return B::float_mul(dot(a, &left), dot(g, &right));
        };
        let square = |rows: &Rows<B>| {
            let rows = rows.by_group();
            B::float_mul(rows.clone(), rows)
        };
        let weighted = B::float_matmul(square(&left), eigenvalues.clone());
        let sums = B::float_sum_dim(B::float_mul(weighted, square(&right)), 2);
        B::float_swap_dims(reshape::<B>(sums, &[groups, samples]), 0, 1)
    }

    /// Σ over pairs of places of (aₚᵀLa_q)·(gₚᵀRg_q): a Gram matrix per sample.
    fn between_places(&self, a: &Rows<B>, g: &Rows<B>) -> FloatTensor<B> {
        let gram = |rows: &Rows<B>, side: &KroneckerSide<B>| {
            let other = side.times(rows).by_place();
            B::float_matmul(rows.by_place(), B::float_swap_dims(other, 1, 2))
        };
        B::float_mul(gram(a, &self.left), gram(g, &self.right))
    }

    /// ⟨∇, L∇R⟩, or Σ of S times the squares of LᵀVR, with a matrix per sample.
    fn of_matrices(&self, a: &Rows<B>, g: &Rows<B>) -> FloatTensor<B> {
        let rotated = self.left.times(a).products(&self.right.times(g));
        match &self.eigenvalues {
            None => B::float_mul(a.products(g), rotated),
            Some(eigenvalues) => {
                let eigenvalues = one_of_many::<B>(eigenvalues.clone());
                B::float_mul(B::float_mul(rotated.clone(), rotated), eigenvalues)
            }
        }
    }

    /// Of an embedding, with a diagonal on the left: Σ over pairs of places that use the same row.
    fn of_equal_rows(&self, indices: &IntTensor<B>, g: &Rows<B>) -> FloatTensor<B> {
        let [samples, places, ..] = g.sizes();
        let right = self.right.times(g).by_place();
        let mut left = if self.eigenvalues.is_some() { right.clone() } else { g.by_place() };
        let diagonal = match &self.left {
            KroneckerSide::Diagonal(diagonal) => Some((diagonal, 1)),
            _ => None,
        };
        let table = self.eigenvalues.as_ref().map(|table| (table, table.shape()[2]));
        // A row of both for each row of the embedding.
        for (weights, width) in diagonal.into_iter().chain(table) {
            let rows = weights.shape().num_elements() / width.max(1);
            let flat = B::int_reshape(indices.clone(), Shape::from([samples * places]));
            let used = B::float_select(reshape::<B>(weights.clone(), &[rows, width]), 0, flat);
            left = B::float_mul(left, reshape::<B>(used, &[samples, places, width]));
        }
        if places == 1 {
            return B::float_mul(left, right);
        }
        let gram = B::float_matmul(left, B::float_swap_dims(right.clone(), 1, 2));
        B::float_mul(gram, equal_pairs::<B>(indices, &right))
    }
}

/// One where two places use the same row, otherwise zero: `[samples, places, places]`.
fn equal_pairs<B: Backend>(indices: &IntTensor<B>, like: &FloatTensor<B>) -> FloatTensor<B> {
    let [samples, places] = [indices.shape()[0], indices.shape()[1]];
    let whole = Shape::from([samples, places, places]);
    let expanded = |shape: [usize; 3]| {
        let indices = B::int_reshape(indices.clone(), Shape::from(shape));
        B::int_expand(indices, whole.clone())
    };
    let (rows, columns) = (expanded([samples, places, 1]), expanded([samples, 1, places]));
    let truth = get_or_init_device_settings::<B>(&indices.device()).bool_dtype;
    B::bool_into_float(B::int_equal(rows, columns, truth), like.dtype().into())
}
