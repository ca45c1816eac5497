//! Factors on the host, block diagonal over the groups of a convolution, and their eigendecompositions, in f64.

use faer::{Mat, MatRef, Side, linalg::solvers::DenseSolveCore};
use serde::{Deserialize, Serialize};

use super::{KfacError, signature::FactorShape};
use crate::{
    error::Error,
    operator::OperatorError,
    state::{Visit, numbers},
};

/// Dampings that are tried in turn when an eigendecomposition fails, relative to the mean eigenvalue.
const RETRIES: [f64; 4] = [0.0, 1e-12, 1e-9, 1e-6];

/// A symmetric positive semidefinite matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum FactorMatrix {
    /// One matrix per group, each row by row.
    Dense {
        groups: usize,
        size: usize,
        #[serde(with = "numbers")]
        values: Vec<f64>,
    },
    /// A diagonal.
    Diagonal(#[serde(with = "numbers")] Vec<f64>),
}

/// Eigenvectors (as columns, stored row by row; `None` for a diagonal) and eigenvalues, group by group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Eigen {
    #[serde(with = "numbers::optional")]
    pub vectors: Option<Vec<f64>>,
    #[serde(with = "numbers")]
    pub values: Vec<f64>,
    pub groups: usize,
    pub size: usize,
    /// Damping that the decomposition needed, relative to the mean eigenvalue.
    pub damped_by: f64,
}

impl FactorMatrix {
    /// I
    pub fn identity(groups: usize, size: usize) -> Self {
        let mut values = vec![0.0; groups * size * size];
        for group in values.chunks_mut(size * size) {
            group.iter_mut().step_by(size + 1).for_each(|one| *one = 1.0);
        }
        Self::Dense { groups, size, values }
    }

    pub fn groups(&self) -> usize {
        match self {
            Self::Dense { groups, .. } => *groups,
            Self::Diagonal(_) => 1,
        }
    }

    pub fn size(&self) -> usize {
        match self {
            Self::Dense { size, .. } => *size,
            Self::Diagonal(values) => values.len(),
        }
    }

    /// Traces of the groups.
    pub fn traces(&self) -> Vec<f64> {
        match self {
            Self::Dense { size, values, .. } => {
                let each = values.chunks(size * size);
                each.map(|matrix| matrix.iter().step_by(size + 1).sum()).collect()
            }
            Self::Diagonal(values) => vec![values.iter().sum()],
        }
    }

    /// Squared Frobenius norms of the groups.
    pub fn squares(&self) -> Vec<f64> {
        let square = |values: &[f64]| values.iter().map(|x| x * x).sum();
        match self {
            Self::Dense { size, values, .. } => values.chunks(size * size).map(square).collect(),
            Self::Diagonal(values) => vec![square(values)],
        }
    }

    /// Its entries: one matrix after another, or the diagonal alone.
    pub fn values(&self) -> &[f64] {
        let (Self::Dense { values, .. } | Self::Diagonal(values)) = self;
        values
    }

    /// `None` if the number of entries contradicts the sizes.
    pub fn shape(&self) -> Option<FactorShape> {
        let diagonal = matches!(self, Self::Diagonal(_));
        FactorShape::checked(self.groups(), self.size(), diagonal, self.values().len())
    }

    /// Visits its entries, under a name.
    pub fn visit(&mut self, name: &str, visit: &mut Visit<'_>) {
        match self {
            Self::Dense { groups, size, values } => visit(name, &[*groups, *size, *size], values),
            Self::Diagonal(values) => visit(name, &[], values),
        }
    }

    pub fn expect_finite(&self, layer: &str) -> Result<(), KfacError> {
        if self.values().iter().all(|value| value.is_finite()) {
            return Ok(());
        }
        Err(KfacError::NonFinite { layer: layer.into() })
    }

    /// ε·self + (1 − ε)·new with ε = `decay`.
    pub fn averaged(&self, new: &Self, decay: f64) -> Self {
        let mut averaged = new.clone();
        let (Self::Dense { values: old, .. } | Self::Diagonal(old)) = self;
        let (Self::Dense { values, .. } | Self::Diagonal(values)) = &mut averaged;
        for (value, old) in values.iter_mut().zip(old) {
            *value = decay * old + (1.0 - decay) * *value;
        }
        averaged
    }

    /// (M + δI)⁻¹ with a δ above zero for each group, in f64.
    pub fn inverse(&self, damping: &[f64]) -> Result<Self, Error> {
        let (groups, size, values) = match self {
            Self::Diagonal(values) => {
                let damping = damping.first().copied().unwrap_or(0.0);
                let inverse = values.iter().map(|value| (value + damping).recip());
                return Ok(Self::Diagonal(inverse.collect()));
            }
            Self::Dense { groups, size, values } => (*groups, *size, values),
        };
        let mut inverse = Vec::with_capacity(values.len());
        for (matrix, &damping) in values.chunks(size * size).zip(damping) {
            match inverse_of_definite(matrix, size, damping) {
                Some(found) => {
                    found.col_iter().for_each(|column| inverse.extend(column.iter().copied()));
                }
                // Not definite by rounding.
                None => inverse.extend(inverse_by_eigenvalues(matrix, size, damping)?),
            }
        }
        Ok(Self::Dense { groups, size, values: inverse })
    }

    /// The eigendecomposition, in f64. If it fails, it is retried with increasing damping.
    pub fn eigen(&self) -> Result<Eigen, Error> {
        let (groups, size, values) = match self {
            Self::Diagonal(values) => {
                return Ok(Eigen {
                    vectors: None,
                    values: values.clone(),
                    groups: 1,
                    size: values.len(),
                    damped_by: 0.0,
                });
            }
            Self::Dense { groups, size, values } => (*groups, *size, values),
        };
        let mut eigen = Eigen {
            vectors: Some(Vec::with_capacity(values.len())),
            values: Vec::with_capacity(groups * size),
            groups,
            size,
            damped_by: 0.0,
        };
        for matrix in values.chunks(size * size) {
            let mean = matrix.iter().step_by(size + 1).sum::<f64>() / size as f64;
            let at = |row: usize, column: usize| matrix[row * size + column];
            let found = RETRIES.iter().find_map(|&retry| {
                let matrix = Mat::from_fn(size, size, |row, column| {
                    let damping = if row == column { retry * mean } else { 0.0 };
                    0.5 * (at(row, column) + at(column, row)) + damping
                });
                let decomposition = matrix.self_adjoint_eigen(Side::Lower).ok()?;
                Some((retry, mean, decomposition))
            });
            let (retry, mean, decomposition) = found.ok_or(OperatorError::Eigenvalues { size })?;
            eigen.damped_by = eigen.damped_by.max(retry);
            let own = decomposition.S().column_vector();
            // Negative by rounding only: the matrix is a sum of squares.
            eigen.values.extend(own.iter().map(|value| (value - retry * mean).max(0.0)));
            let u = decomposition.U();
            if let Some(vectors) = &mut eigen.vectors {
                let rows = (0..size).flat_map(|row| (0..size).map(move |column| (row, column)));
                vectors.extend(rows.map(|(row, column)| u[(row, column)]));
            }
        }
        Ok(eigen)
    }
}

/// (M + δI)⁻¹ by Cholesky; `None` for a matrix that is not definite.
fn inverse_of_definite(matrix: &[f64], size: usize, damping: f64) -> Option<Mat<f64>> {
    let mut damped = MatRef::from_column_major_slice(matrix, size, size).to_owned();
    for one in damped.diagonal_mut().column_vector_mut().iter_mut() {
        *one += damping;
    }
    Some(damped.llt(Side::Lower).ok()?.inverse())
}

/// (M + δI)⁻¹ by U (Λ + δI)⁻¹ Uᵀ, also for a matrix that is not definite by rounding.
fn inverse_by_eigenvalues(matrix: &[f64], size: usize, damping: f64) -> Result<Vec<f64>, Error> {
    let matrix = FactorMatrix::Dense { groups: 1, size, values: matrix.to_vec() };
    let Eigen { vectors, values, .. } = matrix.eigen()?;
    let vectors = vectors.unwrap_or_default();
    let u = MatRef::from_row_major_slice(&vectors, size, size);
    let scaled = Mat::from_fn(size, size, |i, j| u[(i, j)] * (values[j] + damping).recip());
    let product = scaled * u.transpose();
    Ok(product.row_iter().flat_map(|row| row.iter().copied()).collect())
}

impl Eigen {
    /// Visits its entries, under a name.
    pub fn visit(&mut self, name: &str, visit: &mut Visit<'_>) {
        let (groups, size) = (self.groups, self.size);
        if let Some(vectors) = &mut self.vectors {
            visit(&format!("{name}/vectors"), &[groups, size, size], vectors);
        }
        visit(&format!("{name}/values"), &[groups, size], &mut self.values);
    }

    /// `None` if the number of entries contradicts the sizes.
    pub fn shape(&self) -> Option<FactorShape> {
        if self.groups.checked_mul(self.size)? != self.values.len() {
            return None;
        }
        let entries = self.vectors.as_ref().map_or(self.values.len(), Vec::len);
        FactorShape::checked(self.groups, self.size, self.vectors.is_none(), entries)
    }

    /// λᵢ·μⱼ, group by group, with the eigenvalues μ of another matrix.
    pub fn outer(&self, other: &Self) -> Vec<f64> {
        let groups = self.values.chunks(self.size).zip(other.values.chunks(other.size));
        let rows = groups.flat_map(|(own, other)| own.iter().map(move |own| (own, other)));
        rows.flat_map(|(own, other)| other.iter().map(move |other| own * other)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::{FactorMatrix, inverse_of_definite};

    fn two(values: [f64; 4]) -> FactorMatrix {
        FactorMatrix::Dense { groups: 1, size: 2, values: values.to_vec() }
    }

    #[test]
    fn a_damped_inverse_is_that_of_two_rows_in_closed_form() {
        let inverse = two([2.0, 1.0, 1.0, 2.0]).inverse(&[1.0]);
        let expected = [3.0, -1.0, -1.0, 3.0].map(|x| x / 8.0);
        let Ok(FactorMatrix::Dense { values, .. }) = inverse else {
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
        let Ok(FactorMatrix::Dense { values, .. }) = two(singular).inverse(&[1e-30]) else {
            panic!("no inverse");
        };
        // (1, 1) is an eigenvector with the eigenvalue 2; whatever the other one became by rounding, it is above zero.
        let along = (values[0] + values[1] + values[2] + values[3]) / 2.0;
        let across = (values[0] - values[1] - values[2] + values[3]) / 2.0;
        assert!(across > 1e14, "{values:?}");
        assert!(along.is_finite(), "{values:?}");
    }
}
