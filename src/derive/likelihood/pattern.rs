//! Tensors of zeros and ones by which the distributions make square roots, their columns and sums of matrices.

use std::ops::Range;

use burn_backend::{Backend, Shape, Slice, TensorData, TensorMetadata, tensor::FloatTensor};

use crate::derive::lower::bool_dtype;

/// One where a ≤ b, else zero.
pub(super) fn at_most<B: Backend>(a: FloatTensor<B>, b: FloatTensor<B>) -> FloatTensor<B> {
    let (dtype, truth) = (a.dtype().into(), bool_dtype::<B>(&a.device()));
    B::bool_into_float(B::float_lower_equal(a, b, truth), dtype)
}

/// The columns of a diagonal matrix, stacked in front.
pub(super) fn scaled_units<B: Backend>(
    z: &FloatTensor<B>,
    diagonal: FloatTensor<B>,
) -> FloatTensor<B> {
    let shape: Vec<usize> = [1].into_iter().chain(diagonal.shape().iter().copied()).collect();
    let width = z.shape().last().copied().unwrap_or(1);
    let units = pattern::<B>(z, width, |column, row| column == row);
    B::float_mul(units, B::float_reshape(diagonal, Shape::from(shape)))
}

/// The matrix with the sums of rows `[rows, outputs]` on its diagonal.
pub(super) fn diagonal_of_sums<B: Backend>(rows: FloatTensor<B>) -> FloatTensor<B> {
    let diagonal = square_pattern::<B>(&rows, |column, row| column == row);
    B::float_mul(diagonal, B::float_sum_dim(rows, 0))
}

/// The pattern of a square matrix.
pub(super) fn square_pattern<B: Backend>(
    rows: &FloatTensor<B>,
    is_one: impl Fn(usize, usize) -> bool,
) -> FloatTensor<B> {
    let width = rows.shape().last().copied().unwrap_or(1);
    B::float_reshape(pattern::<B>(rows, width, is_one), Shape::from(vec![width, width]))
}

/// One where `is_one` says so by column and row, else zero, for all samples: `[columns, 1, …, rows]` with as many rows as
/// there are outputs.
pub(super) fn pattern<B: Backend>(
    like: &FloatTensor<B>,
    columns: usize,
    is_one: impl Fn(usize, usize) -> bool,
) -> FloatTensor<B> {
    let mut shape = vec![1; like.shape().num_dims() + 1];
    let width = like.shape().last().copied().unwrap_or(1);
    shape[0] = columns;
    if let Some(rows) = shape.last_mut() {
        *rows = width;
    }
    let places = (0..columns).flat_map(|column| (0..width).map(move |row| (column, row)));
    let values: Vec<f32> = places.map(|(c, r)| f32::from(u8::from(is_one(c, r)))).collect();
    let values = TensorData::new(values, shape).convert_dtype(like.dtype());
    B::float_from_data(values, &like.device())
}

/// The slices that keep some columns.
pub(super) fn columns_of(last: usize, columns: Range<usize>) -> Vec<Slice> {
    let mut slices = vec![Slice::full(); last];
    slices.push(Slice::from(columns));
    slices
}
