//! Eigenvalue estimates from the coefficients of conjugate gradients.
//!
//! With step lengths αₖ and ratios βₖ, conjugate gradients build the Lanczos tridiagonal
//! ```text
//! Tₖₖ = 1/αₖ + βₖ₋₁/αₖ₋₁        Tₖ,ₖ₊₁ = −√βₖ / αₖ
//! ```
//! whose eigenvalues, the Ritz values, approach the outer eigenvalues of A (of M⁻¹A with a preconditioner) from within
//! (Golub & Van Loan, Matrix Computations, 4th edition, section 11.3). They cost nothing but these coefficients.

use super::Tridiagonal;

/// Collects the coefficients of an iteration that may restart.
#[derive(Default)]
pub(crate) struct RitzRecorder {
    runs: Vec<Tridiagonal>,
    previous: Option<Coefficients>,
}

struct Coefficients {
    alpha: f64,
    rho: f64,
}

impl RitzRecorder {
    /// Takes ρₖ = rₖᵀzₖ and pₖᵀA pₖ of the next iteration; αₖ = ρₖ / pₖᵀA pₖ and βₖ₋₁ = ρₖ/ρₖ₋₁.
    pub(crate) fn push(&mut self, rho: f64, curvature: f64) {
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

    /// The iteration restarts: the coefficients that follow belong to another Krylov space.
    pub(crate) fn restart(&mut self) {
        self.previous = None;
    }

    /// Number of iterations since the last start.
    pub(crate) fn steps(&self) -> usize {
        match (&self.previous, self.runs.last()) {
            (Some(_), Some(run)) => run.diagonal.len(),
            _ => 0,
        }
    }

    /// T⁻¹ y for the iterations since the last start, or `None` if T is singular.
    pub(crate) fn solve(&self, y: &[f64]) -> Option<Vec<f64>> {
        self.runs.last()?.solve(y)
    }

    /// The outermost Ritz values of each start, and those closest to zero.
    pub(crate) fn extremes(&self) -> Vec<f64> {
        self.runs.iter().flat_map(Tridiagonal::extremes).collect()
    }
}
