//! Eigenvalue estimates from the coefficients of conjugate gradients. Knows numbers on the host only.
//!
//! With step lengths αₖ and ratios βₖ, conjugate gradients build the Lanczos tridiagonal
//! ```text
//! Tₖₖ = 1/αₖ + βₖ₋₁/αₖ₋₁        Tₖ,ₖ₊₁ = −√βₖ / αₖ
//! ```
//! whose eigenvalues, the Ritz values, approach the outer eigenvalues of A (of M⁻¹A with a preconditioner) from within
//! (Golub & Van Loan, Matrix Computations, 4th edition, section 11.3). They cost nothing but these few numbers.

use super::Spectrum;

/// A symmetric tridiagonal matrix.
#[derive(Default)]
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// One number less than on the diagonal.
    off_diagonal: Vec<f64>,
}

/// Collects the coefficients of an iteration that may start anew from time to time.
#[derive(Default)]
pub(super) struct RitzRecorder {
    runs: Vec<Tridiagonal>,
    previous: Option<Coefficients>,
}

struct Coefficients {
    alpha: f64,
    rho: f64,
}

impl RitzRecorder {
    /// Takes ρₖ = rₖᵀzₖ and pₖᵀA pₖ of the next iteration; αₖ = ρₖ / pₖᵀA pₖ and βₖ₋₁ = ρₖ/ρₖ₋₁.
    pub(super) fn push(&mut self, rho: f64, curvature: f64) {
        let inverse_alpha = curvature / rho;
        if self.previous.is_none() {
            self.runs.push(Tridiagonal::default());
        }
        let Some(run) = self.runs.last_mut() else {
            return;
        };
        match &self.previous {
            None => run.diagonal.push(inverse_alpha),
            Some(previous) => {
                let beta = rho / previous.rho;
                run.off_diagonal.push(-beta.sqrt() / previous.alpha);
                run.diagonal.push(inverse_alpha + beta / previous.alpha);
            }
        }
        self.previous = Some(Coefficients {
            alpha: rho / curvature,
            rho,
        });
    }

    /// The iteration starts anew: its coefficients belong to another Krylov space.
    pub(super) fn restart(&mut self) {
        self.previous = None;
    }

    /// Number of iterations since the last start.
    pub(super) fn steps(&self) -> usize {
        match (&self.previous, self.runs.last()) {
            (Some(_), Some(run)) => run.diagonal.len(),
            _ => 0,
        }
    }

    /// T⁻¹ y for the iterations since the last start, or `None` if T is singular.
    pub(super) fn solve(&self, y: &[f64]) -> Option<Vec<f64>> {
        self.runs.last()?.solve(y)
    }

    /// The outermost Ritz values, and those closest to zero.
    pub(super) fn spectrum(&self) -> Option<Spectrum> {
        let mut values = Vec::new();
        for run in &self.runs {
            values.extend(run.extremes());
        }
        Spectrum::of(&values, false)
    }
}

impl Tridiagonal {
    /// The smallest and the largest eigenvalue, and the two around zero.
    fn extremes(&self) -> Vec<f64> {
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
#[allow(clippy::panic)]
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

    #[test]
    fn eigenvalues_around_zero_are_found() {
        let matrix = Tridiagonal {
            diagonal: vec![-3.0, -0.5, 0.25, 4.0],
            off_diagonal: vec![0.0; 3],
        };
        let spectrum = RitzRecorder {
            runs: vec![matrix],
            previous: None,
        }
        .spectrum();
        let Some(spectrum) = spectrum else {
            panic!("a spectrum")
        };
        assert!((spectrum.smallest + 3.0).abs() < 1e-12);
        assert!((spectrum.largest - 4.0).abs() < 1e-12);
        assert!(
            spectrum
                .condition
                .is_some_and(|condition| (condition - 16.0).abs() < 1e-9)
        );
    }
}
