//! Factorizations of a symmetric matrix on the host, in f64.

use faer::{
    Mat, Side,
    linalg::solvers::{Lblt, Llt, Solve},
};

use crate::{error::Error, operator::OperatorError};

use super::super::{ExtremeEigenvalues, Method, SolverError};
use super::DirectMethod;

/// A factorized matrix.
pub(super) struct Factorization {
    kind: Kind,
    /// ‖A‖ in the Frobenius norm.
    norm: f64,
    /// vᵀAv / vᵀv < 0 for some v, if the factors show one.
    negative: Option<f64>,
}

enum Kind {
    Cholesky(Llt<f64>),
    BunchKaufman(Lblt<f64>),
    Eigen(EigenDecomposition),
}

/// A = U Λ Uᵀ
pub(super) struct EigenDecomposition {
    /// One eigenvector per column.
    vectors: Mat<f64>,
    /// From the smallest to the largest.
    values: Vec<f64>,
    /// Absolute values up to this count as zero.
    cut: f64,
}

impl Factorization {
    /// Factorizes a symmetric matrix. `cut` is the fraction of the largest eigenvalue below which one counts as zero.
    pub(super) fn new(matrix: &Mat<f64>, method: DirectMethod, cut: f64) -> Result<Self, Error> {
        let kind = Kind::new(matrix, method, cut)?;
        let negative = match &kind {
            Kind::BunchKaufman(factors) => negative_curvature(factors),
            Kind::Cholesky(_) | Kind::Eigen(_) => None,
        };
        Ok(Self { kind, norm: matrix.norm_l2(), negative })
    }

    /// vᵀAv / vᵀv of a direction of negative curvature, if a factorization without eigenvalues shows one that is more than
    /// rounding, in units of ‖A‖.
    pub(super) fn negative_curvature(&self, rounding: f64) -> Option<f64> {
        self.negative.filter(|found| *found < -rounding * self.norm)
    }

    /// ‖A‖ in the Frobenius norm.
    pub(super) fn norm(&self) -> f64 {
        self.norm
    }

    /// A⁻¹ b, or the shortest least-squares solution.
    pub(super) fn solve(&self, rhs: &[f64]) -> Result<Vec<f64>, Error> {
        let column = Mat::from_fn(rhs.len(), 1, |row, _| rhs.get(row).copied().unwrap_or(0.0));
        let solution = match &self.kind {
            Kind::Cholesky(cholesky) => cholesky.solve(&column),
            Kind::BunchKaufman(factors) => factors.solve(&column),
            Kind::Eigen(eigen) => eigen.solve(&column),
        };
        let solution: Vec<f64> = (0..rhs.len()).map(|row| solution[(row, 0)]).collect();
        if solution.iter().all(|x| x.is_finite()) {
            Ok(solution)
        } else {
            Err(failed(self.method()))
        }
    }

    /// A factorization without a cut does not notice a matrix that is singular to rounding, but its x is no solution.
    pub(super) fn expect_solved(&self, residual: f64, allowed: f64) -> Result<(), Error> {
        match self.kind {
            Kind::Eigen(_) => Ok(()),
            _ if residual <= allowed => Ok(()),
            _ => Err(failed(self.method())),
        }
    }

    pub(super) fn method(&self) -> Method {
        match self.kind {
            Kind::Cholesky(_) => Method::Cholesky,
            Kind::BunchKaufman(_) => Method::BunchKaufman,
            Kind::Eigen(_) => Method::EigenDecomposition,
        }
    }

    /// The extreme eigenvalues; `None` if the factorization does not compute them.
    pub(super) fn spectrum(&self) -> Option<ExtremeEigenvalues> {
        match &self.kind {
            Kind::Eigen(eigen) => ExtremeEigenvalues::of(&eigen.values, true),
            _ => None,
        }
    }

    /// Number of eigenvalues that count as zero.
    pub(super) fn singular_directions(&self) -> usize {
        match &self.kind {
            Kind::Eigen(eigen) => eigen.values.iter().filter(|value| !eigen.keeps(**value)).count(),
            _ => 0,
        }
    }
}

impl Kind {
    fn new(matrix: &Mat<f64>, method: DirectMethod, cut: f64) -> Result<Self, Error> {
        // Pivots show the condition number to a factor only; the eigenvalues decide near the cut.
        let rounding = 1e3 * matrix.nrows() as f64 * f64::EPSILON;
        match method {
            DirectMethod::Automatic => match matrix.llt(Side::Lower) {
                Ok(cholesky) if smallest_pivot(&cholesky) > cut.max(rounding) => {
                    Ok(Self::Cholesky(cholesky))
                }
                _ => EigenDecomposition::new(matrix, cut).map(Self::Eigen),
            },
            DirectMethod::Cholesky => match matrix.llt(Side::Lower) {
                Ok(cholesky) => Ok(Self::Cholesky(cholesky)),
                Err(_) => Err(failed(Method::Cholesky)),
            },
            DirectMethod::BunchKaufman => Ok(Self::BunchKaufman(matrix.lblt(Side::Lower))),
            DirectMethod::EigenDecomposition => {
                EigenDecomposition::new(matrix, cut).map(Self::Eigen)
            }
        }
    }
}

impl EigenDecomposition {
    fn new(matrix: &Mat<f64>, cut: f64) -> Result<Self, Error> {
        let size = matrix.nrows();
        let decomposition = matrix
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| OperatorError::Eigenvalues { size })?;
        let values: Vec<f64> = decomposition.S().column_vector().iter().copied().collect();
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        Ok(Self { vectors: decomposition.U().to_owned(), values, cut: cut * largest })
    }

    fn keeps(&self, value: f64) -> bool {
        value.abs() > self.cut
    }

    /// U Λ⁺ Uᵀ b
    fn solve(&self, rhs: &Mat<f64>) -> Mat<f64> {
        let mut coefficients = self.vectors.transpose() * rhs;
        for (row, value) in self.values.iter().enumerate() {
            let inverse = if self.keeps(*value) { 1.0 / value } else { 0.0 };
            coefficients[(row, 0)] *= inverse;
        }
        &self.vectors * coefficients
    }
}

/// vᵀAv / vᵀv for A = Pᵀ L B Lᵀ P and v = Pᵀ L⁻ᵀ u, u the eigenvector of the most negative eigenvalue of B, whose blocks
/// have one or two rows.
fn negative_curvature(factors: &Lblt<f64>) -> Option<f64> {
    let lower = factors.L();
    let (pivots, beside) = (factors.B_diag().column_vector(), factors.B_subdiag().column_vector());
    let (size, mut found) = (lower.nrows(), None::<(f64, usize, [f64; 2])>);
    let mut row = 0;
    while row < size {
        let (own, off) = (pivots[row], beside[row]);
        let paired = off != 0.0 && row + 1 < size;
        let (value, vector) = if paired {
            let next = pivots[row + 1];
            let value = 0.5 * (own + next) - (0.5 * (own - next)).hypot(off);
            // Of (B − λI)u = 0 the row without cancellation.
            let vector = if own > next { [-off, own - value] } else { [next - value, -off] };
            let length = vector[0].hypot(vector[1]);
            (value, vector.map(|element| element / length))
        } else {
            (own, [1.0, 0.0])
        };
        if value < found.map_or(0.0, |(least, ..)| least) {
            found = Some((value, row, vector));
        }
        row += if paired { 2 } else { 1 };
    }
    let (value, row, vector) = found?;
    let mut y = vec![0.0; size];
    for (element, start) in y[row..].iter_mut().zip(vector) {
        *element = start;
    }
    for at in (0..size).rev() {
        let below: f64 = (at + 1..size).map(|other| lower[(other, at)] * y[other]).sum();
        y[at] -= below;
    }
    Some(value / y.iter().map(|element| element * element).sum::<f64>())
}

/// Smallest over largest squared pivot: an estimate of 1/κ that is too large rather than too small.
fn smallest_pivot(cholesky: &Llt<f64>) -> f64 {
    let pivots = cholesky.L().diagonal().column_vector();
    let (least, most) =
        pivots.iter().fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), pivot| {
            (least.min(*pivot), most.max(*pivot))
        });
    (least / most).powi(2)
}

fn failed(method: Method) -> Error {
    SolverError::Factorization { method }.into()
}
