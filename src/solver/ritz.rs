//! Eigenvalue estimates from the coefficients of conjugate gradients. Knows numbers on the host only.
//!
//! With step lengths αₖ and ratios βₖ, conjugate gradients build the Lanczos tridiagonal
//! ```text
//! Tₖₖ = 1/αₖ + βₖ₋₁/αₖ₋₁        Tₖ,ₖ₊₁ = −√βₖ / αₖ
//! ```
//! whose eigenvalues, the Ritz values, approach the outer eigenvalues of A (of M⁻¹A with a preconditioner) from within
//! (Golub & Van Loan, Matrix Computations, 4th edition, section 11.3). They cost nothing but these few numbers.

use super::{Spectrum, tridiagonal::Tridiagonal};

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
        self.previous = Some(Coefficients { alpha: rho / curvature, rho });
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

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_around_zero_are_found() {
        let matrix =
            Tridiagonal { diagonal: vec![-3.0, -0.5, 0.25, 4.0], off_diagonal: vec![0.0; 3] };
        let spectrum = RitzRecorder { runs: vec![matrix], previous: None }.spectrum();
        let Some(spectrum) = spectrum else { panic!("a spectrum") };
        assert!((spectrum.smallest + 3.0).abs() < 1e-12);
        assert!((spectrum.largest - 4.0).abs() < 1e-12);
        assert!(spectrum.condition.is_some_and(|condition| (condition - 16.0).abs() < 1e-9));
    }
}
