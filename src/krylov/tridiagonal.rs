//! A symmetric tridiagonal matrix on the host: some eigenvalues and solves.

use faer::{Mat, linalg::solvers::Solve};

/// A symmetric tridiagonal matrix.
#[derive(Default)]
pub(crate) struct Tridiagonal {
    pub(crate) diagonal: Vec<f64>,
    /// One entry fewer than the diagonal.
    pub(crate) off_diagonal: Vec<f64>,
}

impl Tridiagonal {
    /// T⁻¹ y, or `None` if T is singular.
    pub(crate) fn solve(&self, y: &[f64]) -> Option<Vec<f64>> {
        let n = y.len();
        let matrix = Mat::from_fn(n, n, |i, j| self.entry(i, j));
        let column = Mat::from_fn(n, 1, |i, _| y.get(i).copied().unwrap_or(0.0));
        let solution = matrix.partial_piv_lu().solve(&column);
        let solution: Vec<f64> = (0..n).map(|i| solution[(i, 0)]).collect();
        solution.iter().all(|x| x.is_finite()).then_some(solution)
    }

    /// The shortest y that minimizes ‖s − T̄ y‖, where T̄ is T, and one row more if s has one entry more than T has
    /// rows: `below` in its last column. Singular values up to `cut` of the largest count as zero.
    pub(crate) fn least_squares(&self, s: &[f64], below: f64, cut: f64) -> Option<Vec<f64>> {
        let n = self.diagonal.len();
        let matrix =
            Mat::from_fn(
                s.len(),
                n,
                |i, j| {
                    if (i, j + 1) == (n, n) { below } else { self.entry(i, j) }
                },
            );
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

    /// The smallest and the largest eigenvalue, and the two around zero.
    pub(crate) fn extremes(&self) -> Vec<f64> {
        let n = self.diagonal.len();
        let finite = self.diagonal.iter().chain(&self.off_diagonal).all(|x| x.is_finite());
        if n == 0 || !finite {
            return Vec::new();
        }
        let negative = self.count_below(0.0);
        let mut wanted = vec![0, n - 1, negative.saturating_sub(1), negative.min(n - 1)];
        wanted.dedup();
        wanted.into_iter().map(|index| self.eigenvalue(index)).collect()
    }

    /// Number of eigenvalues below x, by Sylvester's law of inertia for T − xI = L D Lᵀ.
    fn count_below(&self, x: f64) -> usize {
        let tiny = f64::MIN_POSITIVE;
        let mut pivot = 1.0;
        let mut count = 0;
        let squares = std::iter::once(0.0).chain(self.off_diagonal.iter().map(|e| e * e));
        for (diagonal, square) in self.diagonal.iter().zip(squares) {
            pivot = diagonal - x - square / pivot;
            if pivot.abs() < tiny {
                pivot = -tiny;
            }
            count += usize::from(pivot < 0.0);
        }
        count
    }

    /// The eigenvalue with `index` smaller ones, by bisection.
    fn eigenvalue(&self, index: usize) -> f64 {
        let (mut low, mut high) = self.bounds();
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                break;
            }
            if self.count_below(middle) > index {
                high = middle;
            } else {
                low = middle;
            }
        }
        0.5 * (low + high)
    }

    /// An interval that holds all eigenvalues (Gershgorin's discs).
    fn bounds(&self) -> (f64, f64) {
        let left = std::iter::once(&0.0).chain(&self.off_diagonal);
        let right = self.off_diagonal.iter().chain(std::iter::once(&0.0));
        let discs = self.diagonal.iter().zip(left.zip(right));
        let (low, high) =
            discs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (d, (l, r))| {
                let radius = l.abs() + r.abs();
                (low.min(d - radius), high.max(d + radius))
            });
        let margin = 1e-12 * low.abs().max(high.abs()) + f64::MIN_POSITIVE;
        (low - margin, high + margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second difference matrix has eigenvalues 2 − 2 cos(jπ/(n+1)).
    #[test]
    fn bisection_finds_known_eigenvalues() {
        let n = 17;
        let matrix = Tridiagonal { diagonal: vec![2.0; n], off_diagonal: vec![-1.0; n - 1] };
        for index in 0..n {
            let angle = (index + 1) as f64 * std::f64::consts::PI / (n + 1) as f64;
            let expected = 2.0 - 2.0 * angle.cos();
            assert!((matrix.eigenvalue(index) - expected).abs() < 1e-13, "eigenvalue {index}");
        }
    }

    /// T̄ = (1 2; 2 0; 0 3): the normal equations (5 2; 2 13) y = T̄ᵀs, and a singular T.
    #[test]
    fn least_squares_solve_the_normal_equations() {
        let matrix = Tridiagonal { diagonal: vec![1.0, 0.0], off_diagonal: vec![2.0] };
        let y = matrix.least_squares(&[1.0, 0.0, 1.0], 3.0, 1e-14);
        let expected = [(13.0 - 10.0) / 61.0, (25.0 - 2.0) / 61.0];
        assert!(y.is_some_and(|y| y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-14)));
        let singular = Tridiagonal { diagonal: vec![1.0, 1.0], off_diagonal: vec![1.0] };
        let y = singular.least_squares(&[3.0, 1.0], 0.0, 1e-14);
        assert!(y.is_some_and(|y| y.iter().all(|y| (y - 1.0).abs() < 1e-14)));
    }

    #[test]
    fn eigenvalues_around_zero_are_found() {
        let matrix =
            Tridiagonal { diagonal: vec![-3.0, -0.5, 0.25, 4.0], off_diagonal: vec![0.0; 3] };
        let expected = [-3.0, 4.0, -0.5, 0.25];
        let found = matrix.extremes();
        assert_eq!(found.len(), 4);
        assert!(found.iter().zip(expected).all(|(found, e)| (found - e).abs() < 1e-12));
    }
}
