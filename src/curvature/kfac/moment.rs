//! Second moments on the host, block diagonal over the groups of a convolution, and their eigen-decompositions. Knows
//! numbers only.

use faer::{Mat, Side};
use serde::{Deserialize, Serialize};

use crate::{error::Error, operator::OperatorError};

/// Damping that is tried, in units of the mean eigenvalue, where an eigen-decomposition fails.
const RETRIES: [f64; 4] = [0.0, 1e-12, 1e-9, 1e-6];

/// A symmetric positive semi-definite matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Moment {
    /// One matrix a group, each row by row.
    Dense {
        groups: usize,
        size: usize,
        values: Vec<f64>,
    },
    /// A diagonal.
    Diagonal(Vec<f64>),
}

/// Eigenvectors (as columns, row by row; none for a diagonal) and eigenvalues, group by group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Eigen {
    pub vectors: Option<Vec<f64>>,
    pub values: Vec<f64>,
    pub groups: usize,
    pub size: usize,
    /// Damping in units of the mean eigenvalue without which the decomposition failed.
    pub damped_by: f64,
}

impl Moment {
    /// I
    pub fn identity(groups: usize, size: usize) -> Self {
        let mut values = vec![0.0; groups * size * size];
        for group in values.chunks_mut(size * size) {
            group
                .iter_mut()
                .step_by(size + 1)
                .for_each(|one| *one = 1.0);
        }
        Self::Dense {
            groups,
            size,
            values,
        }
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

    pub fn scaled(mut self, factor: f64) -> Self {
        let (Self::Dense { values, .. } | Self::Diagonal(values)) = &mut self;
        values.iter_mut().for_each(|value| *value *= factor);
        self
    }

    /// One more row and column: the moments of inputs with a one behind them. `sums` are Σ a, `count` is Σ 1.
    pub fn bordered(self, sums: &[f64], count: f64) -> Self {
        let Self::Dense {
            groups,
            size,
            values,
        } = self
        else {
            return self;
        };
        let mut bordered = Vec::with_capacity(groups * (size + 1) * (size + 1));
        for (matrix, sums) in values.chunks(size * size).zip(sums.chunks(size)) {
            for (row, &sum) in matrix.chunks(size).zip(sums) {
                bordered.extend_from_slice(row);
                bordered.push(sum);
            }
            bordered.extend_from_slice(sums);
            bordered.push(count);
        }
        Self::Dense {
            groups,
            size: size + 1,
            values: bordered,
        }
    }

    /// Traces of the groups.
    pub fn traces(&self) -> Vec<f64> {
        match self {
            Self::Dense { size, values, .. } => {
                let each = values.chunks(size * size);
                each.map(|matrix| matrix.iter().step_by(size + 1).sum())
                    .collect()
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

    pub fn expect_finite(&self, layer: &str) -> Result<(), OperatorError> {
        let (Self::Dense { values, .. } | Self::Diagonal(values)) = self;
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(OperatorError::NonFiniteFactor {
                layer: layer.into(),
            }),
        }
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

    /// The matrix plus a multiple of the identity.
    pub fn damped(&self, damping: &[f64]) -> Self {
        let mut damped = self.clone();
        match &mut damped {
            Self::Dense { size, values, .. } => {
                for (matrix, damping) in values.chunks_mut(*size * *size).zip(damping) {
                    matrix
                        .iter_mut()
                        .step_by(*size + 1)
                        .for_each(|one| *one += damping);
                }
            }
            Self::Diagonal(values) => {
                let damping = damping.first().copied().unwrap_or(0.0);
                values.iter_mut().for_each(|value| *value += damping);
            }
        }
        damped
    }

    /// The eigen-decomposition, in f64. One that fails is tried again with more and more damping.
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
            Self::Dense {
                groups,
                size,
                values,
            } => (*groups, *size, values),
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
            // What is below zero is so by rounding: the matrix is a sum of squares.
            eigen
                .values
                .extend(own.iter().map(|value| (value - retry * mean).max(0.0)));
            let u = decomposition.U();
            if let Some(vectors) = &mut eigen.vectors {
                let rows = (0..size).flat_map(|row| (0..size).map(move |column| (row, column)));
                vectors.extend(rows.map(|(row, column)| u[(row, column)]));
            }
        }
        Ok(eigen)
    }
}

impl Eigen {
    /// U f(Λ) Uᵀ
    pub fn function(&self, f: impl Fn(f64) -> f64) -> Moment {
        let Some(vectors) = &self.vectors else {
            return Moment::Diagonal(self.values.iter().map(|value| f(*value)).collect());
        };
        let size = self.size;
        let mut values = Vec::with_capacity(vectors.len());
        for (u, lambda) in vectors.chunks(size * size).zip(self.values.chunks(size)) {
            let u = Mat::from_fn(size, size, |row, column| u[row * size + column]);
            let scaled = Mat::from_fn(size, size, |row, column| {
                u[(row, column)] * f(lambda[column])
            });
            let product = &scaled * u.transpose();
            let places = (0..size).flat_map(|row| (0..size).map(move |column| (row, column)));
            values.extend(places.map(|(row, column)| product[(row, column)]));
        }
        Moment::Dense {
            groups: self.groups,
            size,
            values,
        }
    }
}
