//! Products of a matrix with its transpose: half of the result is computed, and copied to the other half.

use faer::{
    Accum, MatMut, MatRef, Par,
    linalg::matmul::matmul,
    prelude::{IntoConst, ReborrowMut},
    traits::ComplexField,
};
use rayon::prelude::*;

use super::number::Number;

/// Rows of the result that are computed at a time, from the diagonal on. More leave out less, fewer are slower.
const BAND: usize = 64;

/// Size of the tiles that are copied across the diagonal, and stay in the cache.
const TILE: usize = 32;

/// The part of the product on and right of the diagonal, and some numbers left of it, which [`mirror`] replaces.
pub(super) fn upper<N: Number + ComplexField>(
    to: &mut [N],
    accum: Accum,
    (first, second): (MatRef<'_, N>, MatRef<'_, N>),
    shared: bool,
) {
    let width = second.ncols();
    let band = |(index, to): (usize, &mut [N])| {
        let start = index * BAND;
        let rows = to.len() / width;
        let to =
            MatMut::from_row_major_slice_mut(to, rows, width).subcols_mut(start, width - start);
        let (first, second) = (first.subrows(start, rows), second.subcols(start, width - start));
        matmul(to, accum, first, second, N::of(1.0), Par::Seq);
    };
    if shared {
        to.par_chunks_mut(BAND * width).enumerate().with_max_len(1).for_each(band);
    } else {
        to.chunks_mut(BAND * width).enumerate().for_each(band);
    }
}

/// Copies what is right of the diagonal of a square matrix to the other side.
pub(super) fn mirror<N: Number>(matrix: &mut [N], width: usize, shared: bool) {
    mirror_part(MatMut::from_row_major_slice_mut(matrix, width, width), shared);
}

fn mirror_part<N: Number>(matrix: MatMut<'_, N>, shared: bool) {
    let half = (matrix.nrows() / 2).next_multiple_of(TILE);
    if matrix.nrows() <= TILE {
        mirror_tile(matrix);
        return;
    }
    let (first, from, to, last) = matrix.split_at_mut(half, half);
    let from = from.into_const();
    if shared {
        rayon::join(
            || transpose(from, to, true),
            || rayon::join(|| mirror_part(first, true), || mirror_part(last, true)),
        );
    } else {
        transpose(from, to, false);
        mirror_part(first, false);
        mirror_part(last, false);
    }
}

fn mirror_tile<N: Number>(mut tile: MatMut<'_, N>) {
    for row in 1..tile.nrows() {
        for column in 0..row {
            tile[(row, column)] = tile[(column, row)];
        }
    }
}

/// `to ← fromᵀ`, tile by tile.
fn transpose<N: Number>(from: MatRef<'_, N>, to: MatMut<'_, N>, shared: bool) {
    let (rows, columns) = (to.nrows(), to.ncols());
    if rows.max(columns) <= TILE {
        copy_tile(from, to);
        return;
    }
    let by_rows = rows >= columns;
    let half = (rows.max(columns) / 2).next_multiple_of(TILE);
    let ((from, to), (other_from, other_to)) = if by_rows {
        let (above, below) = to.split_at_row_mut(half);
        let (left, right) = from.split_at_col(half);
        ((left, above), (right, below))
    } else {
        let (left, right) = to.split_at_col_mut(half);
        let (above, below) = from.split_at_row(half);
        ((above, left), (below, right))
    };
    if shared {
        rayon::join(|| transpose(from, to, true), || transpose(other_from, other_to, true));
    } else {
        transpose(from, to, false);
        transpose(other_from, other_to, false);
    }
}

fn copy_tile<N: Number>(from: MatRef<'_, N>, mut to: MatMut<'_, N>) {
    for row in 0..to.nrows() {
        let from = from.col(row);
        for (to, &from) in to.rb_mut().row_mut(row).iter_mut().zip(from.iter()) {
            *to = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use faer::{Accum, MatRef};

    use super::{mirror, upper};

    /// Widths around those of bands and tiles.
    #[test]
    fn half_of_a_product_and_its_mirror_image_are_the_whole() {
        for (width, rows) in [(1, 3), (31, 2), (33, 5), (64, 4), (65, 3), (97, 7), (200, 11)] {
            let x: Vec<f64> = (0..rows * width).map(|i| ((i * i + 3 * i) as f64).sin()).collect();
            let matrix = MatRef::from_row_major_slice(&x, rows, width);
            let sum = |i: usize, j: usize| -> f64 {
                (0..rows).map(|row| x[row * width + i] * x[row * width + j]).sum()
            };
            for shared in [false, true] {
                let mut found = vec![f64::NAN; width * width];
                upper(&mut found, Accum::Replace, (matrix.transpose(), matrix), shared);
                upper(&mut found, Accum::Add, (matrix.transpose(), matrix), shared);
                mirror(&mut found, width, shared);
                for (position, found) in found.into_iter().enumerate() {
                    let expected = 2.0 * sum(position / width, position % width);
                    assert!((found - expected).abs() < 1e-13, "{width}: {position}");
                }
            }
        }
    }

    #[test]
    fn the_mirror_image_has_the_bits_of_the_other_half() {
        for width in [1, 2, 31, 32, 33, 64, 97, 200] {
            let numbers: Vec<f64> = (0..width * width).map(|i| i as f64).collect();
            for shared in [false, true] {
                let mut found = numbers.clone();
                mirror(&mut found, width, shared);
                for (position, found) in found.into_iter().enumerate() {
                    let (i, j) = (position / width, position % width);
                    assert_eq!(found, numbers[i.min(j) * width + i.max(j)], "{width}: {i}, {j}");
                }
            }
        }
    }
}
