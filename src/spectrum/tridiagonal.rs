//! Symmetric tridiagonal matrices, as Lanczos' process and conjugate gradients make them. Knows numbers on the host only.

/// A symmetric tridiagonal matrix.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tridiagonal {
    pub(crate) diagonal: Vec<f64>,
    /// One number less than on the diagonal.
    pub(crate) off_diagonal: Vec<f64>,
}

impl Tridiagonal {
    /// The smallest and the largest eigenvalue, and the two around zero.
    pub(crate) fn extremes(&self) -> Vec<f64> {
        let n = self.diagonal.len();
        let finite = self
            .diagonal
            .iter()
            .chain(&self.off_diagonal)
            .all(|x| x.is_finite());
        if n == 0 || !finite {
            return Vec::new();
        }
        let negative = self.count_below(0.0);
        let mut wanted = vec![0, n - 1, negative.saturating_sub(1), negative.min(n - 1)];
        wanted.dedup();
        wanted
            .into_iter()
            .map(|index| self.eigenvalue(index))
            .collect()
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
        let (low, high) = discs.fold(
            (f64::INFINITY, f64::NEG_INFINITY),
            |(low, high), (d, (l, r))| {
                let radius = l.abs() + r.abs();
                (low.min(d - radius), high.max(d + radius))
            },
        );
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
        let matrix = Tridiagonal {
            diagonal: vec![2.0; n],
            off_diagonal: vec![-1.0; n - 1],
        };
        for index in 0..n {
            let angle = (index + 1) as f64 * std::f64::consts::PI / (n + 1) as f64;
            let expected = 2.0 - 2.0 * angle.cos();
            assert!(
                (matrix.eigenvalue(index) - expected).abs() < 1e-13,
                "eigenvalue {index}"
            );
        }
    }
}
