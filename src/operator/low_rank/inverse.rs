//! The exact inverse of low rank plus a positive diagonal: low rank plus diagonal again. The small matrices are
//! decomposed on the host in f64.
//!
//! ```text
//! (VᵀCV + D)⁻¹ = D⁻¹ − D⁻¹Vᵀ K V D⁻¹      K = (I + C M)⁻¹ C,   M = V D⁻¹ Vᵀ
//! ```
//! K is symmetric. For c ≥ 0 it is C^½ (I + C^½MC^½)⁻¹ C^½, which exists whatever V is; for other signs I + CM may be
//! singular, and then A is.

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};
use faer::{Mat, Side, linalg::solvers::Solve};

use crate::{
    error::Error,
    operator::{
        OperatorError,
        stack::{stack, transpose, unstack, upload},
    },
    space::{Inner, InnerFloat, ParamLayout, ParamVector},
};

use super::{Addend, LowRank};

/// An inverse, with the extreme eigenvalues if they are by-products.
pub(crate) struct Inverted<B: AutodiffBackend> {
    /// A⁻¹
    pub(crate) inverse: LowRank<B>,
    /// The smallest and the largest eigenvalue of A, where D is a multiple of I and c ≥ 0.
    pub(crate) extremes: Option<(f64, f64)>,
}

/// D⁻¹V' with V' = T·V: the rows and coefficients of the correction.
struct Correction {
    /// T, shape `[k, k]`, row by row.
    rotation: Vec<f64>,
    coefficients: Vec<f64>,
    /// The eigenvalues of C^½MC^½ for c ≥ 0.
    eigenvalues: Option<Vec<f64>>,
}

impl<B: AutodiffBackend> LowRank<B> {
    /// A⁻¹ by the formula of Sherman, Morrison and Woodbury, as an operator of the same kind.
    ///
    /// Exact but for rounding: about κ·ε of the result, where ε is the rounding of the format, and κ the condition
    /// number of A. [`Woodbury`](crate::solver::Woodbury) removes most of it from a solution and reports on the rest.
    ///
    /// # Errors
    /// [`OperatorError::NotInvertible`] if D has an element that is not positive, or if a negative coefficient makes A
    /// singular to rounding.
    pub fn inverse(&self) -> Result<Self, Error> {
        self.inverted().map(|inverted| inverted.inverse)
    }

    pub(crate) fn inverted(&self) -> Result<Inverted<B>, Error> {
        let inverse_diagonal = self.inverse_diagonal()?;
        let scaled = self.rows_over_diagonal(&inverse_diagonal)?;
        let gram = Inner::<B>::float_matmul(scaled.clone(), transpose::<B>(self.rows.clone()));
        let gram = self.read_square(gram)?;
        let correction = if self.coefficients.iter().all(|c| *c >= 0.0) {
            semi_definite(&gram, &self.coefficients)?
        } else {
            let rounding = self.rank() as f64 * self.space.precision().epsilon();
            indefinite(&gram, &self.coefficients, rounding)?
        };
        let k = self.rank();
        let rotation = upload(&correction.rotation, [k, k], &self.space);
        let rows = Inner::<B>::float_matmul(rotation, scaled);
        let mut inverse = Self::from_rows(rows, &correction.coefficients, &self.space);
        let extremes = match (&inverse_diagonal, &correction.eigenvalues) {
            (Addend::Multiple(inverse), Some(eigenvalues)) => {
                Some(self.extremes(1.0 / inverse, eigenvalues))
            }
            _ => None,
        };
        inverse.diagonal = inverse_diagonal;
        Ok(Inverted { inverse, extremes })
    }

    /// Smallest and largest eigenvalue of A = λI + …, from the eigenvalues of C^½VVᵀC^½/λ.
    fn extremes(&self, damping: f64, eigenvalues: &[f64]) -> (f64, f64) {
        // They ascend. With k > n, k − n of them are zeros that are not eigenvalues of A; with k < n, n − k are left out.
        let surplus = self.rank().checked_sub(self.space.len());
        let least = surplus.and_then(|surplus| eigenvalues.get(surplus));
        let least = least.copied().unwrap_or(0.0);
        let most = eigenvalues.last().copied().unwrap_or(0.0);
        (damping * (1.0 + least), damping * (1.0 + most))
    }

    /// D⁻¹
    fn inverse_diagonal(&self) -> Result<Addend<B>, Error> {
        let refused = |found: f64| OperatorError::NotInvertible { found };
        match &self.diagonal {
            Addend::Zero => Err(refused(0.0).into()),
            Addend::Multiple(factor) => {
                let inverse = 1.0 / factor;
                if *factor > 0.0 && inverse.is_finite() {
                    Ok(Addend::Multiple(inverse))
                } else {
                    Err(refused(*factor).into())
                }
            }
            Addend::Diagonal(diagonal) => {
                let values = diagonal.to_vec()?;
                if let Some(found) = values.iter().find(|d| **d <= 0.0) {
                    return Err(refused(*found).into());
                }
                let inverse: Vec<f64> = values.iter().map(|d| 1.0 / d).collect();
                let inverse = diagonal.space().vector(&inverse)?;
                inverse.expect_finite("the inverse of the diagonal")?;
                Ok(Addend::Diagonal(inverse))
            }
        }
    }

    /// V D⁻¹
    fn rows_over_diagonal(&self, inverse: &Addend<B>) -> Result<InnerFloat<B>, Error> {
        let rows = self.rows.clone();
        Ok(match inverse {
            Addend::Zero => rows,
            Addend::Multiple(factor) => {
                Inner::<B>::float_mul_scalar(rows, burn_backend::Scalar::Float(*factor))
            }
            Addend::Diagonal(diagonal) => {
                let vectors = self.vectors()?.into_iter();
                let scaled = vectors.map(|vector| vector.mul(diagonal));
                stack(&scaled.collect::<Result<Vec<_>, _>>()?)
            }
        })
    }

    /// A `[k, k]` tensor on the host, symmetrized.
    fn read_square(&self, tensor: InnerFloat<B>) -> Result<Mat<f64>, Error> {
        let k = self.rank();
        let rows = unstack(&self.space.with_layout(&ParamLayout::flat(k)?), tensor, k)?;
        let rows = rows.iter().map(ParamVector::to_vec);
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let at = |i: usize, j: usize| rows.get(i).and_then(|row| row.get(j)).copied();
        let entry = |i, j| 0.5 * (at(i, j).unwrap_or(0.0) + at(j, i).unwrap_or(0.0));
        let gram = Mat::from_fn(k, k, entry);
        if gram.norm_max().is_finite() {
            return Ok(gram);
        }
        Err(OperatorError::NonFiniteEntry { row: 0, column: 0, value: gram.norm_max() }.into())
    }
}

/// C^½MC^½ = U Σ Uᵀ gives T = UᵀC^½ and the coefficients −1/(1 + σ).
fn semi_definite(gram: &Mat<f64>, coefficients: &[f64]) -> Result<Correction, Error> {
    let k = coefficients.len();
    let root = |i: usize| coefficients.get(i).map_or(0.0, |c| c.sqrt());
    let inner = Mat::from_fn(k, k, |i, j| root(i) * gram[(i, j)] * root(j));
    let (vectors, eigenvalues) = eigen(&inner)?;
    // Rounding may take a zero below zero.
    let eigenvalues: Vec<f64> = eigenvalues.into_iter().map(|s| s.max(0.0)).collect();
    Ok(Correction {
        rotation: rotated(&vectors, root),
        coefficients: eigenvalues.iter().map(|s| -1.0 / (1.0 + s)).collect(),
        eigenvalues: Some(eigenvalues),
    })
}

/// K = (I + CM)⁻¹C = W Λ Wᵀ gives T = Wᵀ and the coefficients −λ.
fn indefinite(gram: &Mat<f64>, coefficients: &[f64], rounding: f64) -> Result<Correction, Error> {
    let k = coefficients.len();
    let c = |i: usize| coefficients.get(i).copied().unwrap_or(0.0);
    let one = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
    let system = Mat::from_fn(k, k, |i, j| one(i, j) + c(i) * gram[(i, j)]);
    let singular = system.singular_values().map_err(|_| OperatorError::Eigenvalues { size: k })?;
    let most = singular.iter().copied().fold(0.0, f64::max);
    let least = singular.iter().copied().fold(f64::INFINITY, f64::min);
    if least <= rounding * most {
        return Err(OperatorError::NotInvertible { found: least }.into());
    }
    let diagonal = Mat::from_fn(k, k, |i, j| one(i, j) * c(i));
    let kernel = system.partial_piv_lu().solve(&diagonal);
    let kernel = Mat::from_fn(k, k, |i, j| 0.5 * (kernel[(i, j)] + kernel[(j, i)]));
    let (vectors, eigenvalues) = eigen(&kernel)?;
    Ok(Correction {
        rotation: rotated(&vectors, |_| 1.0),
        coefficients: eigenvalues.iter().map(|value| -value).collect(),
        eigenvalues: None,
    })
}

fn eigen(matrix: &Mat<f64>) -> Result<(Mat<f64>, Vec<f64>), Error> {
    let size = matrix.nrows();
    let decomposition =
        matrix.self_adjoint_eigen(Side::Lower).map_err(|_| OperatorError::Eigenvalues { size })?;
    let values = decomposition.S().column_vector().iter().copied().collect();
    Ok((decomposition.U().to_owned(), values))
}

/// Uᵀ diag(factor), row by row.
fn rotated(vectors: &Mat<f64>, factor: impl Fn(usize) -> f64) -> Vec<f64> {
    let k = vectors.nrows();
    let entries = (0..k * k).map(|at| vectors[(at % k, at / k)] * factor(at % k));
    entries.collect()
}
