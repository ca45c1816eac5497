//! Matrices on the host in f64.

use std::ops::Range;

use faer::{Mat, Side};

use crate::error::Error;

use super::OperatorError;

/// A matrix of finite entries on the host, in f64.
///
/// # Example
/// ```
/// use burn_curvature::operator::DenseMatrix;
/// let a = DenseMatrix::from_rows(&[[2.0, 1.0], [1.0, 2.0]])?;
/// assert_eq!(a.symmetry_error(), 0.0);
/// let eigenvalues = a.eigenvalues()?;
/// assert!((eigenvalues[0] - 1.0).abs() < 1e-14 && (eigenvalues[1] - 3.0).abs() < 1e-14);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DenseMatrix {
    rows: usize,
    columns: usize,
    /// Row by row.
    values: Vec<f64>,
}

/// Position of the first value that is not finite. Chunks are looked through as a whole, which takes no branch for each value.
fn first_not_finite(values: &[f64]) -> Option<usize> {
    const CHUNK: usize = 1 << 8;
    let all_finite = |chunk: &[f64]| chunk.iter().fold(true, |all, value| all & value.is_finite());
    let chunk = values.chunks(CHUNK).position(|chunk| !all_finite(chunk))?;
    let rest = values.get(chunk * CHUNK..)?;
    rest.iter().position(|value| !value.is_finite()).map(|place| chunk * CHUNK + place)
}

impl DenseMatrix {
    /// A matrix from its entries, row by row.
    ///
    /// # Errors
    /// [`OperatorError::EntryCount`], [`OperatorError::NonFiniteEntry`].
    pub fn new(rows: usize, columns: usize, values: Vec<f64>) -> Result<Self, Error> {
        let expected = rows.saturating_mul(columns);
        if values.len() != expected {
            return Err(
                OperatorError::EntryCount { rows, columns, expected, found: values.len() }.into()
            );
        }
        if let Some(position) = first_not_finite(&values) {
            return Err(OperatorError::NonFiniteEntry {
                row: position / columns,
                column: position % columns,
                value: values.get(position).copied().unwrap_or(f64::NAN),
            }
            .into());
        }
        Ok(Self { rows, columns, values })
    }

    /// A matrix from its rows.
    ///
    /// # Errors
    /// [`OperatorError::EntryCount`] if the rows differ in length, [`OperatorError::NonFiniteEntry`].
    pub fn from_rows<R: AsRef<[f64]>>(rows: &[R]) -> Result<Self, Error> {
        let columns = rows.first().map_or(0, |row| row.as_ref().len());
        if let Some(row) = rows.iter().find(|row| row.as_ref().len() != columns) {
            return Err(OperatorError::EntryCount {
                rows: 1,
                columns,
                expected: columns,
                found: row.as_ref().len(),
            }
            .into());
        }
        let values = rows.iter().flat_map(|row| row.as_ref().iter().copied());
        Self::new(rows.len(), columns, values.collect())
    }

    /// Adds `added` to the diagonal of a square matrix, of which these are the columns at some positions.
    pub(crate) fn with_added(
        mut self,
        positions: Range<usize>,
        added: &[f64],
    ) -> Result<Self, Error> {
        for (column, row) in positions.enumerate() {
            let entry = self.values.get_mut(row * self.columns + column);
            let (Some(entry), Some(added)) = (entry, added.get(row)) else { continue };
            *entry += added;
            if !entry.is_finite() {
                return Err(OperatorError::NonFiniteEntry { row, column, value: *entry }.into());
            }
        }
        Ok(self)
    }

    /// These entries times a factor.
    pub(crate) fn scaled(self, factor: f64) -> Result<Self, Error> {
        let values = self.values.into_iter().map(|value| factor * value);
        Self::new(self.rows, self.columns, values.collect())
    }

    /// The rows at some positions.
    pub(crate) fn rows_at(&self, positions: impl Iterator<Item = Range<usize>>) -> Self {
        let entries = |rows: Range<usize>| rows.start * self.columns..rows.end * self.columns;
        let kept = positions.filter_map(|rows| self.values.get(entries(rows)));
        let values: Vec<f64> = kept.flatten().copied().collect();
        Self { rows: values.len() / self.columns.max(1), columns: self.columns, values }
    }

    /// These columns, followed by those of another matrix with the same number of rows.
    pub(crate) fn beside(self, others: Self) -> Self {
        let rows = self.values.chunks(self.columns.max(1));
        let rows = rows.zip(others.values.chunks(others.columns.max(1)));
        let values = rows.flat_map(|(row, others)| row.iter().chain(others).copied()).collect();
        Self { rows: self.rows, columns: self.columns + others.columns, values }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The entries, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// One entry, or `None` outside the matrix.
    pub fn entry(&self, row: usize, column: usize) -> Option<f64> {
        if row >= self.rows || column >= self.columns {
            return None;
        }
        self.values.get(row * self.columns + column).copied()
    }

    /// The product with a vector.
    ///
    /// # Errors
    /// [`OperatorError::MatrixSize`] if the vector's length differs from that of the rows.
    pub fn multiply(&self, vector: &[f64]) -> Result<Vec<f64>, Error> {
        if vector.len() != self.columns {
            return Err(OperatorError::MatrixSize {
                expected_rows: self.columns,
                expected_columns: 1,
                rows: vector.len(),
                columns: 1,
            }
            .into());
        }
        let row = |at: usize| self.values.get(at * self.columns..(at + 1) * self.columns);
        let product = (0..self.rows).map(|at| {
            let row = row(at).unwrap_or_default();
            row.iter().zip(vector).map(|(a, x)| a * x).sum()
        });
        Ok(product.collect())
    }

    /// Largest |aᵢⱼ − aⱼᵢ| over largest |aᵢⱼ|: 0 for a symmetric matrix, ∞ for one that is not square.
    pub fn symmetry_error(&self) -> f64 {
        if self.rows != self.columns {
            return f64::INFINITY;
        }
        let largest = self.values.iter().fold(0.0, |largest: f64, a| largest.max(a.abs()));
        if largest == 0.0 {
            return 0.0;
        }
        let n = self.rows;
        let differences = (0..n).flat_map(|i| (0..i).map(move |j| self.at(i, j) - self.at(j, i)));
        differences.fold(0.0, |worst: f64, d| worst.max(d.abs())) / largest
    }

    /// All eigenvalues of a symmetric matrix, ascending. For a slightly unsymmetric matrix, those of
    /// (A + Aᵀ)/2.
    ///
    /// # Cost
    /// About 4/3 n³ multiply-adds.
    ///
    /// # Errors
    /// [`OperatorError::NotSquare`]; [`OperatorError::Eigenvalues`] if the iteration does not converge or overflows.
    pub fn eigenvalues(&self) -> Result<Vec<f64>, Error> {
        let failed = OperatorError::Eigenvalues { size: self.rows };
        let symmetric = self.symmetrized()?;
        let eigenvalues = symmetric.self_adjoint_eigenvalues(Side::Lower);
        let finite = |values: &Vec<f64>| values.iter().all(|value| value.is_finite());
        Ok(eigenvalues.ok().filter(finite).ok_or(failed)?)
    }

    pub(super) fn expect_size(&self, rows: usize, columns: usize) -> Result<(), Error> {
        if (self.rows, self.columns) == (rows, columns) {
            return Ok(());
        }
        Err(OperatorError::MatrixSize {
            expected_rows: rows,
            expected_columns: columns,
            rows: self.rows,
            columns: self.columns,
        }
        .into())
    }

    pub(crate) fn expect_symmetric(&self, allowed: f64) -> Result<(), Error> {
        let found = self.symmetry_error();
        if found <= allowed {
            return Ok(());
        }
        Err(OperatorError::NotSymmetric { found, allowed }.into())
    }

    /// (A + Aᵀ)/2 for the linear algebra library.
    pub(crate) fn symmetrized(&self) -> Result<Mat<f64>, Error> {
        if self.rows != self.columns {
            return Err(
                OperatorError::NotSquare { domain: self.columns, codomain: self.rows }.into()
            );
        }
        Ok(Mat::from_fn(self.rows, self.columns, |i, j| 0.5 * self.at(i, j) + 0.5 * self.at(j, i)))
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.entry(row, column).unwrap_or(0.0)
    }
}
