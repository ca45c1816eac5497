//! Quadratic forms of the gradients of samples. Independent of layers.

use burn_backend::{
    Backend, Shape, TensorMetadata, get_or_init_device_settings,
    tensor::{FloatTensor, IntTensor},
};

use super::outer::{Left, Outer};
use crate::{kfac::program::rows::Rows, operator::KroneckerSide};

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
                let diagonal = B::float_reshape(diagonal.clone(), Shape::from(vec![1, 1, 1, size]));
                Rows::Rows(B::float_mul(rows.rows(), diagonal))
            }
            KroneckerSide::Matrix(matrix) => rows.clone().rotated(Some(matrix)),
        }
    }
}

impl<B: Backend> Outer<B> {
    /// ⟨∇ₙ, M ∇ₙ⟩, `[samples, 1]`.
    pub fn quadratic(&self, sides: &Sides<B>) -> FloatTensor<B> {
        let [_, places, groups, d_out] = self.right.sizes();
        match (&self.left, sides) {
            (Left::Indices(indices), Sides { left: KroneckerSide::Matrix(matrix), .. }) => {
                self.written_out(indices, matrix.shape()[2]).quadratic(sides)
            }
            (Left::Indices(_), _) => {
                let held = 2 * places * (places + d_out);
                self.in_chunks(held, |some| some.of_equal_rows(sides))
            }
            (Left::Rows(_), _) if places == 1 => self.at_one_place(sides),
            (Left::Rows(a), Sides { eigenvalues: None, .. })
                if places * places <= a.width() * d_out =>
            {
                self.in_chunks(2 * groups * places * places, |some| some.between_places(sides))
            }
            (Left::Rows(a), _) => {
                let held = 2 * groups * a.width() * d_out;
                self.in_chunks(held, |some| some.of_matrices(sides))
            }
        }
    }

    fn rows(&self) -> Option<(&Rows<B>, &Rows<B>)> {
        match &self.left {
            Left::Rows(rows) => Some((rows, &self.right)),
            Left::Indices(_) => None,
        }
    }

    /// aᵀLa · gᵀRg, or Σ of S times the squares of both.
    fn at_one_place(&self, sides: &Sides<B>) -> FloatTensor<B> {
        let Some((a, g)) = self.rows() else {
            return self.of_equal_rows(sides);
        };
        let (left, right) = (sides.left.times(a), sides.right.times(g));
        let [samples, _, groups, _] = g.sizes();
        let Some(eigenvalues) = &sides.eigenvalues else {
            let dot =
                |a: &Rows<B>, b: &Rows<B>| B::float_sum_dim(B::float_mul(a.rows(), b.rows()), 3);
            return by_sample::<B>(B::float_mul(dot(a, &left), dot(g, &right)), samples);
        };
        let square = |rows: &Rows<B>| {
            let rows = rows.by_group();
            B::float_mul(rows.clone(), rows)
        };
        let weighted = B::float_matmul(square(&left), eigenvalues.clone());
        let sums = B::float_sum_dim(B::float_mul(weighted, square(&right)), 2);
        let sums = B::float_reshape(sums, Shape::from(vec![groups, samples]));
        by_sample::<B>(B::float_swap_dims(sums, 0, 1), samples)
    }

    /// Σ over pairs of places of (aₚᵀLa_q)·(gₚᵀRg_q): a Gram matrix per sample.
    fn between_places(&self, sides: &Sides<B>) -> FloatTensor<B> {
        let Some((a, g)) = self.rows() else {
            return self.of_equal_rows(sides);
        };
        let gram = |rows: &Rows<B>, side: &KroneckerSide<B>| {
            let other = side.times(rows).by_place();
            B::float_matmul(rows.by_place(), B::float_swap_dims(other, 1, 2))
        };
        let products = B::float_mul(gram(a, &sides.left), gram(g, &sides.right));
        by_sample::<B>(products, g.sizes()[0])
    }

    /// ⟨∇, L∇R⟩, or Σ of S times the squares of LᵀVR, with a matrix per sample.
    fn of_matrices(&self, sides: &Sides<B>) -> FloatTensor<B> {
        let Some((a, g)) = self.rows() else {
            return self.of_equal_rows(sides);
        };
        let [samples, _, groups, d_out] = g.sizes();
        let rotated = sides.left.times(a).products(&sides.right.times(g));
        let products = match &sides.eigenvalues {
            None => B::float_mul(a.products(g), rotated),
            Some(eigenvalues) => {
                let shape = Shape::from(vec![1, groups, a.width(), d_out]);
                let eigenvalues = B::float_reshape(eigenvalues.clone(), shape);
                B::float_mul(B::float_mul(rotated.clone(), rotated), eigenvalues)
            }
        };
        by_sample::<B>(products, samples)
    }

    /// Of an embedding, with a diagonal on the left: Σ over pairs of places that use the same row.
    fn of_equal_rows(&self, sides: &Sides<B>) -> FloatTensor<B> {
        let Left::Indices(indices) = &self.left else {
            return self.of_matrices(sides);
        };
        let [samples, places, ..] = self.right.sizes();
        let right = sides.right.times(&self.right).by_place();
        let mut left = match &sides.eigenvalues {
            Some(_) => right.clone(),
            None => self.right.by_place(),
        };
        for weights in [diagonal(&sides.left), table(sides)].into_iter().flatten() {
            let flat = B::int_reshape(indices.clone(), Shape::from(vec![samples * places]));
            let width = weights.shape()[1];
            let rows = B::float_select(weights, 0, flat);
            let rows = B::float_reshape(rows, Shape::from(vec![samples, places, width]));
            left = B::float_mul(left, rows);
        }
        if places == 1 {
            let products = B::float_mul(left, right);
            return by_sample::<B>(products, samples);
        }
        let gram = B::float_matmul(left, B::float_swap_dims(right.clone(), 1, 2));
        let equal = equal_pairs::<B>(indices, &right);
        by_sample::<B>(B::float_mul(gram, equal), samples)
    }
}

/// A diagonal on the left as a column.
fn diagonal<B: Backend>(side: &KroneckerSide<B>) -> Option<FloatTensor<B>> {
    let KroneckerSide::Diagonal(diagonal) = side else {
        return None;
    };
    let size = diagonal.shape().num_elements();
    Some(B::float_reshape(diagonal.clone(), Shape::from(vec![size, 1])))
}

/// The eigenvalues, a row for each row of the embedding.
fn table<B: Backend>(sides: &Sides<B>) -> Option<FloatTensor<B>> {
    let eigenvalues = sides.eigenvalues.clone()?;
    let (rows, columns) = (eigenvalues.shape()[1], eigenvalues.shape()[2]);
    Some(B::float_reshape(eigenvalues, Shape::from(vec![rows, columns])))
}

/// One where two places use the same row, otherwise zero: `[samples, places, places]`.
fn equal_pairs<B: Backend>(indices: &IntTensor<B>, like: &FloatTensor<B>) -> FloatTensor<B> {
    let [samples, places] = [indices.shape()[0], indices.shape()[1]];
    let whole = Shape::from(vec![samples, places, places]);
    let expanded = |shape: Vec<usize>| {
        let indices = B::int_reshape(indices.clone(), Shape::from(shape));
        B::int_expand(indices, whole.clone())
    };
    let (rows, columns) = (expanded(vec![samples, places, 1]), expanded(vec![samples, 1, places]));
    let truth = get_or_init_device_settings::<B>(&indices.device()).bool_dtype;
    B::bool_into_float(B::int_equal(rows, columns, truth), like.dtype().into())
}

/// Σ over all elements of each sample.
fn by_sample<B: Backend>(values: FloatTensor<B>, samples: usize) -> FloatTensor<B> {
    let rest = values.shape().num_elements() / samples.max(1);
    B::float_sum_dim(B::float_reshape(values, Shape::from(vec![samples, rest])), 1)
}
