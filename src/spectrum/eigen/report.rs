//! What Lanczos' process returns, and its report.

use std::fmt;

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use crate::{
    space::ParamVector,
    tensor::{DefaultBackend, Precision},
};

use super::SpectrumEnd;

/// Why Lanczos' process stopped. Prints as one sentence of advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EigenpairsStop {
    /// Every true residual is small enough, and no copy is missing where that was asked for.
    Converged,
    /// The products ran out before the residuals were small enough.
    ProductLimit,
    /// The residuals are small enough, but the products ran out before a fresh start could show whether a copy of an
    /// eigenvalue is missing.
    Unconfirmed,
    /// By the recurrence the residuals are small enough, but the true residuals are not.
    Rounding,
}

impl EigenpairsStop {
    /// Whether all requested pairs were found to the tolerance.
    pub fn is_success(self) -> bool {
        self == EigenpairsStop::Converged
    }
}

impl fmt::Display for EigenpairsStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EigenpairsStop::Converged => "The eigenpairs are as accurate as asked for.",
            EigenpairsStop::ProductLimit => {
                "The products ran out: raise `max_products` or `subspace`, or ask for fewer pairs or a larger tolerance."
            }
            EigenpairsStop::Unconfirmed => {
                "The pairs have converged, but a multiple eigenvalue may have more copies: raise `max_products`, or switch \
                 `confirm_copies` off."
            }
            EigenpairsStop::Rounding => {
                "Rounding keeps the residuals above the tolerance: use f64 or a larger tolerance, or check that the \
                 operator is self-adjoint and gives the same product twice."
            }
        })
    }
}

/// Eigenvectors with a report that holds their eigenvalues.
#[derive(Debug, Clone)]
pub struct Eigenpairs<B: AutodiffBackend = DefaultBackend> {
    /// Orthonormal eigenvectors, in the order of [`EigenpairsReport::eigenvalues`].
    pub vectors: Vec<ParamVector<B>>,
    /// Eigenvalues, residuals, and why the process stopped.
    pub report: EigenpairsReport,
}

/// How a search for eigenpairs went. Prints as a short table and one sentence of advice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EigenpairsReport {
    /// The end of the spectrum that was asked for.
    pub end: SpectrumEnd,
    /// Why the process stopped.
    pub stop: EigenpairsStop,
    /// Floating-point format of the computation.
    pub precision: Precision,
    /// Number of unknowns.
    pub unknowns: usize,
    /// From the largest to the smallest. Fewer than asked for only if the products did not suffice for as many.
    pub eigenvalues: Vec<f64>,
    /// ‖A y − θ y‖ for each eigenvalue θ, computed at the end.
    pub residuals: Vec<f64>,
    /// The residual that was asked for: tolerance · max|θ|.
    pub threshold: f64,
    /// Products with A, those for the true residuals included.
    pub products: usize,
    /// Times that the subspace was full.
    pub restarts: usize,
}

impl EigenpairsReport {
    /// The largest of the eigenvalues that were found.
    pub fn largest(&self) -> f64 {
        self.eigenvalues.first().copied().unwrap_or(f64::NAN)
    }

    /// The smallest of the eigenvalues that were found.
    pub fn smallest(&self) -> f64 {
        self.eigenvalues.last().copied().unwrap_or(f64::NAN)
    }

    /// The largest residual.
    pub fn worst_residual(&self) -> f64 {
        self.residuals.iter().fold(0.0, |worst, r| worst.max(*r))
    }
}

impl fmt::Display for EigenpairsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "eigenpairs by Lanczos' process, {}, {} unknowns",
            self.precision, self.unknowns
        )?;
        writeln!(f, "  stopped      {:?}", self.stop)?;
        writeln!(f, "  products     {} ({} restarts)", self.products, self.restarts)?;
        writeln!(f, "  asked for    residuals up to {:.4e}", self.threshold)?;
        writeln!(f, "      eigenvalue     residual")?;
        for (eigenvalue, residual) in self.eigenvalues.iter().zip(&self.residuals) {
            writeln!(f, "  {eigenvalue:>14.6e}   {residual:>10.2e}")?;
        }
        write!(f, "{}", self.stop)
    }
}
