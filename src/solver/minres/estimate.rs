//! What the Lanczos coefficients show of the eigenvalues.
//!
//! The outer Ritz values (eigenvalues of T) bound the outer eigenvalues from within. A Ritz value close to zero says
//! nothing about an indefinite A, since Ritz values move across zero; the smallest singular value of T̄, the tridiagonal with
//! its row below, does: ‖T̄ y‖ = ‖A V y‖ for orthonormal V, so that it is never below the smallest |λ|.

use crate::krylov::Tridiagonal;

use super::super::ExtremeEigenvalues;
use super::rotation::Column;

/// T and the R of its QR factorization since the last start, and estimates from the runs before.
#[derive(Default)]
pub(super) struct Estimate {
    tridiagonal: Tridiagonal,
    /// βₖ₊₁, below the last column.
    below: f64,
    /// (εₖ, δₖ, γₖ)
    columns: Vec<(f64, f64, f64)>,
    /// Outer Ritz values, and bounds on the smallest |λ|, of earlier runs.
    earlier: Vec<f64>,
    earlier_least: f64,
}

impl Estimate {
    pub(super) fn new() -> Self {
        Self { earlier_least: f64::INFINITY, ..Self::default() }
    }

    /// Takes αₖ, βₖ₊₁ and column k of R.
    pub(super) fn push(&mut self, alpha: f64, below: f64, column: &Column) {
        if !self.tridiagonal.diagonal.is_empty() {
            self.tridiagonal.off_diagonal.push(self.below);
        }
        self.tridiagonal.diagonal.push(alpha);
        self.below = below;
        self.columns.push((column.epsilon, column.delta, column.gamma));
    }

    /// The iteration restarts: the coefficients that follow belong to another Krylov space.
    pub(super) fn restart(&mut self) {
        let run = std::mem::take(self);
        self.earlier_least = run.earlier_least.min(run.smallest_singular_value());
        self.earlier = run.earlier;
        self.earlier.extend(run.tridiagonal.extremes());
    }

    /// The shortest y that minimizes ‖s − T̄ y‖; singular values up to `cut` of the largest count as zero.
    pub(super) fn solve_t(&self, s: &[f64], cut: f64) -> Option<Vec<f64>> {
        self.tridiagonal.least_squares(s, self.below, cut)
    }

    /// Number of columns since the last start.
    pub(super) fn steps(&self) -> usize {
        self.columns.len()
    }

    /// Ritz estimates of the outer eigenvalues, and of κ.
    pub(super) fn eigenvalues(&self) -> Option<ExtremeEigenvalues> {
        let mut values = self.earlier.clone();
        values.extend(self.tridiagonal.extremes());
        let mut spectrum = ExtremeEigenvalues::of(&values, false)?;
        let least = self.earlier_least.min(self.smallest_singular_value());
        let condition = spectrum.largest.abs().max(spectrum.smallest.abs()) / least;
        spectrum.condition = condition.is_finite().then_some(condition.max(1.0));
        Some(spectrum)
    }

    /// The smallest singular value of T̄, which is that of R, by inverse iteration with RᵀR: never too small.
    pub(super) fn smallest_singular_value(&self) -> f64 {
        const ITERATIONS: usize = 50;
        let mut vector = vec![1.0; self.columns.len()];
        let mut smallest = f64::INFINITY;
        for _ in 0..ITERATIONS {
            let length = norm(&vector);
            vector.iter_mut().for_each(|x| *x /= length);
            self.solve_transposed(&mut vector);
            self.solve(&mut vector);
            let next = norm(&vector).sqrt().recip();
            if !next.is_finite() {
                break;
            }
            let settled = next >= (1.0 - 1e-6) * smallest;
            smallest = smallest.min(next);
            if settled {
                break;
            }
        }
        smallest
    }

    /// Rᵀ y = x, in place.
    fn solve_transposed(&self, vector: &mut [f64]) {
        let [mut last, mut earlier] = [0.0; 2];
        for (x, (epsilon, delta, gamma)) in vector.iter_mut().zip(&self.columns) {
            *x = (*x - delta * last - epsilon * earlier) / gamma;
            (last, earlier) = (*x, last);
        }
    }

    /// R y = x, in place.
    fn solve(&self, vector: &mut [f64]) {
        // What is known so far of this row and of the one above, from the columns to the right.
        let [mut here, mut above] = [0.0; 2];
        for (x, (epsilon, delta, gamma)) in vector.iter_mut().zip(&self.columns).rev() {
            *x = (*x - here) / gamma;
            here = above + delta * *x;
            above = epsilon * *x;
        }
    }
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::{super::rotation::Rotation, *};

    /// diag(3, −0.5, 2): singular values and Ritz values are the entries.
    #[test]
    fn a_diagonal_tells_its_entries() {
        let mut estimate = Estimate::new();
        let mut rotation = Rotation::new(1.0);
        for alpha in [3.0, -0.5, 2.0] {
            let column = rotation.column(0.0, alpha, 0.0);
            rotation.accept(&column);
            estimate.push(alpha, 0.0, &column);
        }
        let spectrum = estimate.eigenvalues();
        assert!(spectrum.is_some_and(|s| (s.smallest + 0.5).abs() < 1e-12
            && (s.largest - 3.0).abs() < 1e-12
            && s.condition.is_some_and(|c| (c - 6.0).abs() < 1e-5)));
    }

    /// The Ritz value of T = (0) is 0, but A is not singular: T̄ = (0; 1) has the singular value 1.
    #[test]
    fn a_ritz_value_at_zero_does_not_count() {
        let mut estimate = Estimate::new();
        let column = Rotation::new(1.0).column(0.0, 0.0, 1.0);
        estimate.push(0.0, 1.0, &column);
        assert!((estimate.smallest_singular_value() - 1.0).abs() < 1e-14);
    }
}
