//! Solves with a symmetric tridiagonal matrix on the host. Knows numbers only.

use faer::{Mat, linalg::solvers::Solve};

use crate::spectrum::Tridiagonal;

impl Tridiagonal {
    /// T⁻¹ y, or `None` if T is singular.
    pub(super) fn solve(&self, y: &[f64]) -> Option<Vec<f64>> {
        let n = y.len();
        let matrix = Mat::from_fn(n, n, |i, j| self.entry(i, j));
        let column = Mat::from_fn(n, 1, |i, _| y.get(i).copied().unwrap_or(0.0));
        let solution = matrix.partial_piv_lu().solve(&column);
        let solution: Vec<f64> = (0..n).map(|i| solution[(i, 0)]).collect();
        solution.iter().all(|x| x.is_finite()).then_some(solution)
    }

    /// The shortest y that minimises ‖s − T̄ y‖, where T̄ is T, and one row more if s has one number more than T has
    /// rows: `below` in its last column. Singular values up to `cut` of the largest count as zero.
    pub(super) fn least_squares(&self, s: &[f64], below: f64, cut: f64) -> Option<Vec<f64>> {
        let n = self.diagonal.len();
        let matrix = Mat::from_fn(s.len(), n, |i, j| {
            if (i, j + 1) == (n, n) {
                below
            } else {
                self.entry(i, j)
            }
        });
        let svd = matrix.thin_svd().ok()?;
        let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let least = cut * values.first()?;
        let rhs = Mat::from_fn(s.len(), 1, |i, _| s.get(i).copied().unwrap_or(0.0));
        let mut coefficients = svd.U().transpose() * rhs;
        for (row, value) in values.iter().enumerate() {
            coefficients[(row, 0)] *= if *value > least { 1.0 / value } else { 0.0 };
        }
        let solution = svd.V() * coefficients;
        let solution: Vec<f64> = (0..n).map(|i| solution[(i, 0)]).collect();
        solution.iter().all(|x| x.is_finite()).then_some(solution)
    }

    fn entry(&self, i: usize, j: usize) -> f64 {
        let entry = match i.abs_diff(j) {
            0 => self.diagonal.get(i),
            1 => self.off_diagonal.get(i.min(j)),
            _ => None,
        };
        entry.copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T̄ = (1 2; 2 0; 0 3): the normal equations (5 2; 2 13) y = T̄ᵀs, and a singular T.
    #[test]
    fn least_squares_solve_the_normal_equations() {
        let matrix = Tridiagonal {
            diagonal: vec![1.0, 0.0],
            off_diagonal: vec![2.0],
        };
        let y = matrix.least_squares(&[1.0, 0.0, 1.0], 3.0, 1e-14);
        let expected = [(13.0 - 10.0) / 61.0, (25.0 - 2.0) / 61.0];
        assert!(y.is_some_and(|y| y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-14)));
        let singular = Tridiagonal {
            diagonal: vec![1.0, 1.0],
            off_diagonal: vec![1.0],
        };
        let y = singular.least_squares(&[3.0, 1.0], 0.0, 1e-14);
        assert!(y.is_some_and(|y| y.iter().all(|y| (y - 1.0).abs() < 1e-14)));
    }
}
