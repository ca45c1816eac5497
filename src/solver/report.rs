//! The report on a solve.

use std::fmt;

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use crate::tensor::Precision;

use super::{ExtremeEigenvalues, MethodDetail, StopReason, system::System};

/// Estimated relative errors above which a report warns.
const WORRYING_ERROR: f64 = 1e-2;

/// The method that solved a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Method {
    /// Conjugate gradients.
    ConjugateGradient,
    /// The minimum residual method, MINRES.
    Minres,
    /// The Cholesky factorization A = L Lᵀ.
    Cholesky,
    /// The symmetric indefinite factorization A = L B Lᵀ with pivoting after Bunch and Kaufman.
    BunchKaufman,
    /// The eigendecomposition A = U Λ Uᵀ.
    EigenDecomposition,
    /// A Neumann series.
    Neumann,
    /// The stochastic Neumann series LiSSA.
    Lissa,
    /// The randomized Nyström approximation.
    Nystrom,
    /// The formula of Sherman, Morrison and Woodbury.
    Woodbury,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::ConjugateGradient => "conjugate gradients",
            Method::Minres => "MINRES",
            Method::Cholesky => "Cholesky factorization",
            Method::BunchKaufman => "Bunch-Kaufman factorization",
            Method::EigenDecomposition => "eigendecomposition",
            Method::Neumann => "Neumann series",
            Method::Lissa => "LiSSA",
            Method::Nystrom => "Nyström approximation",
            Method::Woodbury => "Woodbury formula",
        })
    }
}

/// The outcome of a solve. Prints as a short table and one sentence of advice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SolveReport {
    /// The method.
    pub method: Method,
    /// Why it stopped.
    pub stop: StopReason,
    /// Format of the entries of b and x.
    pub precision: Precision,
    /// Number of unknowns.
    pub unknowns: usize,
    /// Iterations; 0 for a factorization.
    pub iterations: usize,
    /// Products with A, those for the true residual included. For several right-hand sides at once, the products
    /// that form the matrix are counted in each report.
    pub applications: usize,
    /// ‖b‖
    pub rhs_norm: f64,
    /// The residual norm requested: max(relative tolerance · ‖b‖, absolute tolerance).
    pub threshold: Option<f64>,
    /// ‖r‖ by the recurrence of the method, which drifts away from the true one by rounding.
    pub recursive_residual: Option<f64>,
    /// ‖b − A x‖, computed at the end.
    pub true_residual: f64,
    /// ‖b − A x‖ / ‖b‖, and 0 for b = 0.
    pub relative_residual: f64,
    /// What the method learned about the eigenvalues (of M⁻¹A with a preconditioner).
    pub spectrum: Option<ExtremeEigenvalues>,
    /// pᵀAp / pᵀp of the direction of negative curvature, if one was met: the smallest eigenvalue of A is no larger.
    #[serde(default)]
    pub negative_curvature: Option<f64>,
    /// What this method alone reports.
    #[serde(default)]
    pub detail: Option<MethodDetail>,
}

impl SolveReport {
    /// The fields that all methods share; a method without recurrence, tolerance or iterations leaves the other fields
    /// unchanged.
    pub(super) fn new<B: AutodiffBackend>(
        method: Method,
        stop: StopReason,
        system: &System<'_, B>,
        (rhs_norm, true_residual): (f64, f64),
    ) -> Self {
        Self {
            method,
            stop,
            precision: system.rhs().precision(),
            unknowns: system.rhs().len(),
            iterations: 0,
            applications: system.applications(),
            rhs_norm,
            threshold: None,
            recursive_residual: None,
            true_residual,
            relative_residual: if rhs_norm > 0.0 { true_residual / rhs_norm } else { 0.0 },
            spectrum: None,
            negative_curvature: None,
            detail: None,
        }
    }

    /// How large ‖x − A⁻¹b‖ / ‖A⁻¹b‖ may be: κ times the relative residual, which is itself known only to rounding.
    pub fn error_estimate(&self) -> Option<f64> {
        let condition = self.spectrum?.condition?;
        Some(condition * self.relative_residual.max(self.precision.epsilon()))
    }

    /// Whether the residual is small but the error may be large: [`error_estimate`](Self::error_estimate) above 0.01
    /// in spite of success.
    pub fn residual_misleads(&self) -> bool {
        self.stop.is_success() && self.error_estimate().is_some_and(|error| error > WORRYING_ERROR)
    }

    /// One sentence: what to do next.
    pub fn advice(&self) -> String {
        if let (StopReason::NegativeCurvature, Some(found)) = (self.stop, self.negative_curvature) {
            return format!(
                "A is not positive definite, since it has an eigenvalue of {found:.3e} or less: add damping well above {:.3e}, use \
                 the Gauss-Newton in place of the Hessian, or a solver for indefinite systems: `Minres` or `Direct`.",
                -found
            );
        }
        match (self.residual_misleads(), self.error_estimate()) {
            (true, Some(error)) => {
                let other = match self.precision {
                    Precision::F32 => "solve in f64",
                    Precision::F64 => "lower the tolerance",
                };
                format!(
                    "The residual is small but the error need not be, since the condition number leaves room for a \
                     relative error of about {error:.1e}: {other}, add damping, or give a preconditioner."
                )
            }
            _ => {
                let detail = self.detail.as_ref();
                let special = detail.and_then(|detail| detail.advice(self.stop));
                special.unwrap_or_else(|| self.stop.to_string())
            }
        }
    }
}

impl fmt::Display for SolveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}, {} unknowns", self.method, self.precision, self.unknowns)?;
        writeln!(f, "  stopped            {:?}", self.stop)?;
        writeln!(
            f,
            "  iterations         {} ({} products with A)",
            self.iterations, self.applications
        )?;
        writeln!(f, "  norm of b          {:.4e}", self.rhs_norm)?;
        write!(f, "  residual           {:.4e} true", self.true_residual)?;
        if let Some(recursive) = self.recursive_residual {
            write!(f, ", {recursive:.4e} by recurrence")?;
        }
        if let Some(threshold) = self.threshold {
            write!(f, ", {threshold:.4e} asked for")?;
        }
        writeln!(f)?;
        writeln!(f, "  relative residual  {:.4e}", self.relative_residual)?;
        if let Some(spectrum) = &self.spectrum {
            let kind = if spectrum.exact { "exact" } else { "Ritz estimates" };
            writeln!(
                f,
                "  eigenvalues        {:.4e} to {:.4e} ({kind})",
                spectrum.smallest, spectrum.largest
            )?;
        }
        if let Some(found) = self.negative_curvature {
            writeln!(
                f,
                "  negative curvature {found:.4e}, and the smallest eigenvalue is no larger"
            )?;
        }
        if let Some(condition) = self.spectrum.and_then(|spectrum| spectrum.condition) {
            writeln!(f, "  condition number   {condition:.4e}")?;
        }
        if let Some(error) = self.error_estimate() {
            writeln!(f, "  relative error     up to about {error:.1e}")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, "{detail}")?;
        }
        write!(f, "{}", self.advice())
    }
}
