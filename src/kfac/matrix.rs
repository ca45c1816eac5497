//! Factors on the host, block diagonal over the groups of a convolution, and their eigendecompositions, in f64.

use faer::{Mat, MatRef, Side, linalg::solvers::DenseSolveCore};
use serde::{Deserialize, Serialize};

use super::KfacError;
use crate::{
    error::Error,
    operator::{DEFAULT_SIZE_LIMIT, DenseMatrix, OperatorError},
    state::numbers,
};

/// Dampings that are tried in turn when an eigendecomposition fails, relative to the mean eigenvalue.
const RETRIES: [f64; 4] = [0.0, 1e-12, 1e-9, 1e-6];

/// A matrix for each group, or one diagonal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FactorShape {
    pub groups: usize,
    pub size: usize,
    pub diagonal: bool,
}

impl FactorShape {
    pub fn dense(groups: usize, size: usize) -> Self {
        Self { groups, size, diagonal: false }
    }

    pub fn diagonal(size: usize) -> Self {
        Self { groups: 1, size, diagonal: true }
    }

    /// Whether it has this number of entries, which is not zero.
    pub fn holds(self, entries: usize) -> bool {
        let size = if self.diagonal { Some(1) } else { Some(self.size) };
        let group = size.and_then(|size| size.checked_mul(self.size));
        let total = group.and_then(|group| group.checked_mul(self.groups));
        entries > 0 && total == Some(entries)
    }

    /// Shape of a tensor with its entries.
    pub fn dims(self) -> Vec<usize> {
        if self.diagonal { vec![self.size] } else { vec![self.groups, self.size, self.size] }
    }

    /// From one entry on the diagonal to the next.
    pub fn step(self) -> usize {
        if self.diagonal { 1 } else { self.size + 1 }
    }

    /// The entries of each group.
    pub fn groups_of(self, values: &[f64]) -> impl Iterator<Item = &[f64]> {
        values.chunks((if self.diagonal { self.size } else { self.size * self.size }).max(1))
    }
}

/// A symmetric positive semidefinite matrix: one per group, each row by row, or a diagonal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FactorMatrix {
    pub shape: FactorShape,
    #[serde(with = "numbers")]
    pub values: Vec<f64>,
}

/// Eigenvectors (as columns, stored row by row; none where they are the unit vectors, as of a diagonal) and eigenvalues, group
/// by group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Eigen {
    pub shape: FactorShape,
    #[serde(with = "numbers")]
    pub vectors: Vec<f64>,
    #[serde(with = "numbers")]
    pub values: Vec<f64>,
    /// Damping that the decomposition needed, relative to the mean eigenvalue.
    pub damped_by: f64,
}

impl FactorMatrix {
    /// I
    pub fn identity(shape: FactorShape) -> Self {
        let FactorShape { groups, size, diagonal } = shape;
        if diagonal {
            return Self { shape, values: vec![1.0; groups * size] };
        }
        let one = |at: usize| {
            if (at % (size * size)).is_multiple_of(size + 1) { 1.0 } else { 0.0 }
        };
        Self { shape, values: (0..groups * size * size).map(one).collect() }
    }

    /// Traces of the groups.
    pub fn traces(&self) -> Vec<f64> {
        let step = self.shape.step();
        let groups = self.shape.groups_of(&self.values);
        groups.map(|matrix| matrix.iter().step_by(step).sum()).collect()
    }

    /// Frobenius norms of the groups.
    pub fn norms(&self) -> Vec<f64> {
        self.shape.groups_of(&self.values).map(norm).collect()
    }

    pub fn expect_finite(&self, layer: &str) -> Result<(), KfacError> {
        if self.values.iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        Err(KfacError::NonFinite { layer: layer.into() })
    }

    /// The matrix of a group, with a diagonal written out.
    pub fn matrix(&self, group: usize) -> Result<Option<DenseMatrix>, Error> {
        let size = self.shape.size;
        let Some(own) = self.shape.groups_of(&self.values).nth(group) else {
            return Ok(None);
        };
        let mut values = own.to_vec();
        if self.shape.diagonal {
            if size > DEFAULT_SIZE_LIMIT {
                let (rows, columns, limit) = (size, size, DEFAULT_SIZE_LIMIT);
                return Err(OperatorError::TooLarge { rows, columns, limit }.into());
            }
            values = vec![0.0; size * size];
            values.iter_mut().step_by(size + 1).zip(own).for_each(|(entry, own)| *entry = *own);
        }
        DenseMatrix::new(size, size, values).map(Some)
    }

    /// ε·self + (1 − ε)·new with ε = `decay`.
    pub fn averaged(&self, new: &Self, decay: f64) -> Self {
        let pairs = self.values.iter().zip(&new.values);
        let values = pairs.map(|(old, new)| decay * old + (1.0 - decay) * new);
        Self { shape: new.shape, values: values.collect() }
    }

    /// (M + δI)⁻¹ with a δ above zero for each group, in f64.
    pub fn inverse(&self, damping: &[f64]) -> Result<Self, Error> {
        let (shape, size) = (self.shape, self.shape.size);
        let mut values = Vec::with_capacity(self.values.len());
        for (matrix, &damping) in shape.groups_of(&self.values).zip(damping) {
            if shape.diagonal {
                values.extend(matrix.iter().map(|value| (value + damping).recip()));
            } else if let Some(found) = inverse_of_definite(matrix, size, damping) {
                found.col_iter().for_each(|column| values.extend(column.iter().copied()));
            } else {
                // Not definite by rounding.
                values.extend(inverse_by_eigenvalues(matrix, size, damping)?);
            }
        }
        Ok(Self { shape, values })
    }

    /// The eigendecomposition, in f64. If it fails, it is retried with increasing damping.
    pub fn eigen(&self) -> Result<Eigen, Error> {
        let shape = self.shape;
        if shape.diagonal {
            return Ok(Eigen::of_diagonal(1, self.values.clone()));
        }
        let (vectors, values) = (Vec::with_capacity(self.values.len()), Vec::new());
        let mut eigen = Eigen { shape, vectors, values, damped_by: 0.0 };
        shape.groups_of(&self.values).try_for_each(|matrix| eigen.push(matrix))?;
        Ok(eigen)
    }
}

/// √Σx², without overflow or underflow of the squares.
pub(super) fn norm(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    if largest == 0.0 || largest.is_infinite() {
        return values.iter().map(|x| x.abs()).sum(); // NaN, if one is.
    }
    largest * values.iter().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt()
}

/// (M + δI)⁻¹ by Cholesky; `None` for a matrix that is not definite.
fn inverse_of_definite(matrix: &[f64], size: usize, damping: f64) -> Option<Mat<f64>> {
    let mut damped = MatRef::from_column_major_slice(matrix, size, size).to_owned();
    for one in damped.diagonal_mut().column_vector_mut().iter_mut() {
        *one += damping;
    }
    Some(damped.llt(Side::Lower).ok()?.inverse())
}

/// (M + Mᵀ)/2 + δI
fn symmetrized(matrix: &[f64], size: usize, damping: f64) -> Mat<f64> {
    let at = |row: usize, column: usize| matrix[row * size + column];
    Mat::from_fn(size, size, |row, column| {
        let shift = if row == column { damping } else { 0.0 };
        0.5 * (at(row, column) + at(column, row)) + shift
    })
}

/// L⁻¹ of the Cholesky factor of (M + Mᵀ)/2 + δI, row by row; `None` for a matrix that is not definite.
pub(super) fn inverse_root(matrix: &[f64], size: usize, damping: f64) -> Option<Vec<f64>> {
    let factor = symmetrized(matrix, size, damping).llt(Side::Lower).ok()?;
    let lower = factor.L();
    let mut root = vec![0.0; size * size];
    for column in 0..size {
        for row in column..size {
            let known = (column..row).map(|k| lower[(row, k)] * root[k * size + column]);
            let one = if row == column { 1.0 } else { 0.0 };
            root[row * size + column] = (one - known.sum::<f64>()) / lower[(row, row)];
        }
    }
    Some(root)
}

/// (M + δI)⁻¹ by U (Λ + δI)⁻¹ Uᵀ, also for a matrix that is not definite by rounding.
fn inverse_by_eigenvalues(matrix: &[f64], size: usize, damping: f64) -> Result<Vec<f64>, Error> {
    let matrix = FactorMatrix { shape: FactorShape::dense(1, size), values: matrix.to_vec() };
    let Eigen { vectors, values, .. } = matrix.eigen()?;
    let u = MatRef::from_row_major_slice(&vectors, size, size);
    let scaled = Mat::from_fn(size, size, |i, j| u[(i, j)] * (values[j] + damping).recip());
    let product = scaled * u.transpose();
    Ok(product.row_iter().flat_map(|row| row.iter().copied()).collect())
}

impl Eigen {
    /// Eigenvalues whose eigenvectors are the unit vectors.
    pub fn of_diagonal(groups: usize, values: Vec<f64>) -> Self {
        let shape = FactorShape { groups, size: values.len() / groups.max(1), diagonal: true };
        Self { shape, vectors: Vec::new(), values, damped_by: 0.0 }
    }

    /// Adds the decomposition of a group.
    fn push(&mut self, matrix: &[f64]) -> Result<(), Error> {
        let size = self.shape.size;
        let mean = matrix.iter().step_by(size + 1).sum::<f64>() / size as f64;
        let found = RETRIES.iter().find_map(|&retry| {
            let matrix = symmetrized(matrix, size, retry * mean);
            Some((retry, matrix.self_adjoint_eigen(Side::Lower).ok()?))
        });
        let (retry, decomposition) = found.ok_or(OperatorError::Eigenvalues { size })?;
        self.damped_by = self.damped_by.max(retry);
        let own = decomposition.S().column_vector();
        // Negative by rounding only: the matrix is a sum of squares.
        self.values.extend(own.iter().map(|value| (value - retry * mean).max(0.0)));
        for row in decomposition.U().row_iter() {
            self.vectors.extend(row.iter().copied());
        }
        Ok(())
    }

    /// Whether the numbers of entries match the sizes.
    pub fn is_whole(&self) -> bool {
        let FactorShape { groups, size, diagonal } = self.shape;
        let values = groups.checked_mul(size) == Some(self.values.len());
        values && (diagonal || self.shape.holds(self.vectors.len()))
    }

    /// The eigenvectors of a group as columns, unless they are the unit vectors.
    pub fn matrix(&self, group: usize) -> Option<DenseMatrix> {
        let size = self.shape.size;
        let vectors = self.shape.groups_of(&self.vectors).nth(group)?;
        DenseMatrix::new(size, size, vectors.to_vec()).ok()
    }

    /// λᵢ·μⱼ, group by group, with the eigenvalues μ of another matrix.
    pub fn outer(&self, other: &Self) -> Vec<f64> {
        let own = self.values.chunks(self.shape.size.max(1));
        let groups = own.zip(other.values.chunks(other.shape.size.max(1)));
        let rows = groups.flat_map(|(own, other)| own.iter().map(move |own| (own, other)));
        rows.flat_map(|(own, other)| other.iter().map(move |other| own * other)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::{FactorMatrix, FactorShape, inverse_of_definite};

    fn two(values: [f64; 4]) -> FactorMatrix {
        FactorMatrix { shape: FactorShape::dense(1, 2), values: values.to_vec() }
    }

    #[test]
    fn a_damped_inverse_is_that_of_two_rows_in_closed_form() {
        let inverse = two([2.0, 1.0, 1.0, 2.0]).inverse(&[1.0]);
        let expected = [3.0, -1.0, -1.0, 3.0].map(|x| x / 8.0);
        let Ok(FactorMatrix { values, .. }) = inverse else {
            panic!("no inverse");
        };
        let pairs = values.iter().zip(expected);
        assert!(pairs.into_iter().all(|(x, y)| (x - y).abs() < 1e-15), "{values:?}");
    }

    /// Damping below rounding: no Cholesky factor, but still an inverse.
    #[test]
    fn a_matrix_that_is_indefinite_by_rounding_is_inverted_by_its_eigenvalues() {
        let singular = [1.0, 1.0, 1.0, 1.0];
        assert!(inverse_of_definite(&singular, 2, 1e-30).is_none());
        let Ok(FactorMatrix { values, .. }) = two(singular).inverse(&[1e-30]) else {
            panic!("no inverse");
        };
        // (1, 1) is an eigenvector with the eigenvalue 2; whatever the other one became by rounding, it is above zero.
        let along = (values[0] + values[1] + values[2] + values[3]) / 2.0;
        let across = (values[0] - values[1] - values[2] + values[3]) / 2.0;
        assert!(across > 1e14, "{values:?}");
        assert!(along.is_finite(), "{values:?}");
    }
}
