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
    /// The largest eigenvalue of C^½MC^½ for c ≥ 0.
    largest: Option<f64>,
}

impl<B: AutodiffBackend> LowRank<B> {
    /// A⁻¹ by the formula of Sherman, Morrison and Woodbury, as an operator of the same kind; with as many vectors as
    /// elements or more, by the eigenvalues of A.
    ///
    /// Exact but for rounding: about κ·ε of the result, where ε is the rounding of the format, and κ the condition
    /// number of A. [`Woodbury`](crate::solver::Woodbury) removes most of it from a solution and reports on the rest.
    ///
    /// # Errors
    /// [`OperatorError::NotInvertible`] if D has an element that is not positive, or if a negative coefficient makes A
    /// singular to rounding; with as many vectors as elements, if A is singular to rounding. NaN or infinity in the vectors
    /// of A⁻¹.
    pub fn inverse(&self) -> Result<Self, Error> {
        self.inverted().map(|inverted| inverted.inverse)
    }

    pub(crate) fn inverted(&self) -> Result<Inverted<B>, Error> {
        if self.rank() >= self.space.len() {
            return self.inverted_as_a_whole();
        }
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
        self.expect_finite_rows(&rows)?;
        let mut inverse = Self::from_rows(rows, &correction.coefficients, &self.space);
        let extremes = match (&inverse_diagonal, correction.largest) {
            // Fewer vectors than elements: in the other directions A is D.
            (Addend::Multiple(inverse), Some(most)) => {
                Some((1.0 / inverse, (1.0 + most) / inverse))
            }
            _ => None,
        };
        inverse.diagonal = inverse_diagonal;
        Ok(Inverted { inverse, extremes })
    }

    /// Refuses vectors of A⁻¹ that leave the range of the number format.
    fn expect_finite_rows(&self, rows: &InnerFloat<B>) -> Result<(), Error> {
        let elements = self.rank() * self.space.len();
        let flat = Inner::<B>::float_reshape(rows.clone(), [elements].into());
        let flat = self.space.with_layout(&ParamLayout::flat(elements)?).from_flat_tensor(flat)?;
        Ok(flat.expect_finite("the vectors of the inverse of low rank plus diagonal")?)
    }

    /// D⁻¹
    fn inverse_diagonal(&self) -> Result<Addend<B>, Error> {
        let refused = |found: f64| OperatorError::NotInvertible { found };
        match &self.diagonal {
            Addend::Zero => Err(refused(0.0).into()),
            Addend::Multiple(factor) => {
                let inverse = 1.0 / factor;
                if *factor > 0.0 && inverse <= self.space.precision().largest() {
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

/// I + C^½MC^½ = L Lᵀ gives T = L⁻¹C^½ and the coefficients −1. By C^½MC^½ = U Σ Uᵀ it is T = (I + Σ)^−½UᵀC^½, which needs
/// no factor L where rounding leaves none.
fn semi_definite(gram: &Mat<f64>, coefficients: &[f64]) -> Result<Correction, Error> {
    let k = coefficients.len();
    let root = |i: usize| coefficients.get(i).map_or(0.0, |c| c.sqrt());
    let inner = Mat::from_fn(k, k, |i, j| root(i) * gram[(i, j)] * root(j));
    let (vectors, eigenvalues) = eigen(&inner)?;
    let most = eigenvalues.last().copied().unwrap_or(0.0);
    if !most.is_finite() {
        return Err(OperatorError::Eigenvalues { size: k }.into());
    }
    // Rounding may take a zero below zero.
    let length = |i: usize| eigenvalues.get(i).map_or(1.0, |s| (1.0 + s.max(0.0)).sqrt());
    let by_eigenvalues = || rotated(&vectors, |row, column| root(column) / length(row));
    Ok(Correction {
        rotation: triangular(&inner, root).unwrap_or_else(by_eigenvalues),
        coefficients: vec![-1.0; k],
        largest: Some(most.max(0.0)),
    })
}

/// The entries of L⁻¹C^½, row by row. The largest vectors come first: what is subtracted from the others then has no error on
/// the scale of the largest.
fn triangular(inner: &Mat<f64>, root: impl Fn(usize) -> f64) -> Option<Vec<f64>> {
    let k = inner.nrows();
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&i, &j| inner[(j, j)].total_cmp(&inner[(i, i)]));
    let one = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
    let system = Mat::from_fn(k, k, |i, j| one(i, j) + inner[(order[i], order[j])]);
    let factor = system.llt(Side::Lower).ok()?;
    let mut inverse = Mat::from_fn(k, k, one);
    factor.L().solve_lower_triangular_in_place(&mut inverse);
    let mut entries = vec![0.0; k * k];
    for (column, &at) in order.iter().enumerate() {
        for row in column..k {
            entries[row * k + at] = inverse[(row, column)] * root(at);
        }
    }
    entries.iter().all(|entry| entry.is_finite()).then_some(entries)
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
        rotation: rotated(&vectors, |_, _| 1.0),
        coefficients: eigenvalues.iter().map(|value| -value).collect(),
        largest: None,
    })
}

/// Eigenvectors and ascending eigenvalues.
pub(super) fn eigen(matrix: &Mat<f64>) -> Result<(Mat<f64>, Vec<f64>), Error> {
    let size = matrix.nrows();
    let decomposition =
        matrix.self_adjoint_eigen(Side::Lower).map_err(|_| OperatorError::Eigenvalues { size })?;
    let values = decomposition.S().column_vector().iter().copied().collect();
    Ok((decomposition.U().to_owned(), values))
}

/// The entries of Uᵀ, each times a factor of its row and column, row by row.
fn rotated(vectors: &Mat<f64>, factor: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let k = vectors.nrows();
    let entries = (0..k * k).map(|at| vectors[(at % k, at / k)] * factor(at / k, at % k));
    entries.collect()
}
