//! How far to trust a hypergradient: the report, and its verdict.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::solver::SolveReport;

/// Distances from the minimizer above this, relative to ‖θ‖, lead to a verdict.
const FAR: f64 = 1e-2;
/// Errors above this, relative to the sum of both parts of the hypergradient, lead to a verdict.
const LARGE_ERROR: f64 = 0.1;

/// A bound on ‖hypergradient − dL/dη at θ*(η)‖, in Euclidean norms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBound {
    /// The part due to the inexact solve: ‖Mᵀ(A + λI)⁻¹r‖, r the residual.
    pub solve: f64,
    /// The part due to θ ≠ θ*: how far one Newton step moves the hypergradient.
    pub stationarity: f64,
    /// A remainder for everything that these two leave out.
    pub remainder: f64,
    /// Whether the sum is a theorem (up to rounding), given the constants that the caller stated; otherwise it is an estimate.
    pub proven: bool,
}

impl ErrorBound {
    /// The bound: the sum of its parts.
    pub fn total(&self) -> f64 {
        self.solve + self.stationarity + self.remainder
    }
}

/// Whether a hypergradient can be used, and if not, why: the first verdict that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Verdict {
    /// No problem was found.
    Sound,
    /// A + λI has a negative eigenvalue: θ is no minimum of the inner problem.
    Indefinite,
    /// The solver stopped before reaching its tolerance.
    Unsolved,
    /// θ is farther from the minimizer of the inner problem than a hundredth of ‖θ‖.
    NotStationary,
    /// The error may exceed a tenth of the sum of both parts of the hypergradient.
    Inaccurate,
}

/// The report on a hypergradient. Prints as a short table and one sentence of advice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HypergradientReport {
    /// The inner objective ℒ(θ, η).
    pub inner_value: f64,
    /// The outer objective L(θ, η).
    pub outer_value: f64,
    /// λ.
    pub damping: f64,
    /// ‖∂ℒ/∂θ‖, zero at θ*.
    pub stationarity: f64,
    /// ‖θ‖.
    pub parameter_norm: f64,
    /// About ‖θ − θ*‖: the length of a Newton step where the error was bounded, otherwise ‖∂ℒ/∂θ‖ over the smallest
    /// known eigenvalue, or, if no positive one is known, ‖∂ℒ/∂θ‖²/‖(A + λI)∂ℒ/∂θ‖, which is at most the length of that step.
    pub distance: Option<f64>,
    /// At most ‖θ − θ*‖: ‖∂ℒ/∂θ‖/(μ + λ), a theorem for the [strong convexity](super::ImplicitConfig::strong_convexity) μ
    /// that the caller stated.
    #[serde(default)]
    pub distance_bound: Option<f64>,
    /// ‖∂L/∂θ − (H + λI)w‖ of the solved w, with the exact Hessian H, whatever matrix the solver uses.
    pub residual: f64,
    /// The residual over ‖∂L/∂θ‖; 0 if that is 0.
    pub relative_residual: f64,
    /// The smallest eigenvalue of A + λI that the solver met: a Ritz value, too large rather than too small. `None` with a
    /// preconditioner, or if the solver does not estimate it.
    pub smallest_eigenvalue: Option<f64>,
    /// ‖∂L/∂η‖, the direct part.
    pub direct_norm: f64,
    /// ‖Mᵀw‖, the part through θ*(η).
    pub indirect_norm: f64,
    /// Hyperparameters that θ* does not depend on, by construction.
    pub constant_in: Vec<String>,
    /// A bound on the error; `None` if it was not requested, or if neither the Newton step nor the solver came closer to a
    /// solution.
    pub error: Option<ErrorBound>,
    /// The report of the solve.
    pub solve: SolveReport,
    /// Whether the hypergradient can be used.
    pub verdict: Verdict,
}

impl HypergradientReport {
    /// Sets the verdict from the other fields; `unbounded`: whether a bound was asked for and could not be made.
    pub(super) fn judged(mut self, unbounded: bool) -> Self {
        let scale = self.direct_norm + self.indirect_norm;
        let far = |distance: f64| distance.is_nan() || distance > FAR * self.parameter_norm;
        let large = |error: ErrorBound| {
            let total = error.total();
            total.is_nan() || total > LARGE_ERROR * scale
        };
        // A preconditioner changes eigenvalues, and none of their signs.
        let spectrum = self.solve.spectrum.map(|spectrum| spectrum.smallest);
        let mut smallest = self.smallest_eigenvalue.into_iter().chain(spectrum);
        let negative = smallest.any(|smallest| smallest < 0.0);
        self.verdict = if negative && self.solve.is_indefinite() {
            Verdict::Indefinite
        } else if !self.solve.stop.is_success() {
            Verdict::Unsolved
        } else if self.distance.is_some_and(far) {
            Verdict::NotStationary
        } else if unbounded || self.error.is_some_and(large) {
            Verdict::Inaccurate
        } else {
            Verdict::Sound
        };
        self
    }

    /// Whether the verdict is [`Sound`](Verdict::Sound).
    pub fn is_sound(&self) -> bool {
        self.verdict == Verdict::Sound
    }

    /// One sentence: what to do next.
    pub fn advice(&self) -> String {
        match self.verdict {
            Verdict::Sound => "Nothing speaks against this hypergradient.".into(),
            Verdict::Indefinite => {
                let known = |smallest| format!("an eigenvalue of {smallest:.3e} or less");
                let found = self.smallest_eigenvalue.filter(|smallest| *smallest < 0.0);
                format!(
                    "The inner matrix has {}, so θ is no minimum of the inner problem: train it further, add damping well above \
                     the size of that eigenvalue (which adds λ/2·‖θ − θ̂‖² to the inner problem), or take the Gauss-Newton \
                     matrix.",
                    found.map_or_else(|| "a negative eigenvalue".into(), known)
                )
            }
            Verdict::Unsolved => format!(
                "The solver stopped with a relative residual of {:.1e}, which is right only for a truncated hypergradient: {}",
                self.relative_residual, self.solve.stop
            ),
            Verdict::NotStationary => format!(
                "θ is about {:.1e} from the minimizer of the inner problem, where ‖θ‖ is {:.1e} and ‖∂ℒ/∂θ‖ {:.1e}: train it \
                 further before differentiating.",
                self.distance.unwrap_or(f64::NAN),
                self.parameter_norm,
                self.stationarity
            ),
            Verdict::Inaccurate => match self.error {
                Some(error) => format!(
                    "The error may be {:.1e}, of which the solve makes {:.1e} and the distance from the minimizer {:.1e}: \
                     lower the solver's tolerance, or train the inner problem further.",
                    error.total(),
                    error.solve,
                    error.stationarity
                ),
                None => "The error could not be bounded, since neither a Newton step nor a second solve came closer to a \
                         solution: train the inner problem further, lower the solver's tolerance, or add damping."
                    .into(),
            },
        }
    }
}

impl fmt::Display for HypergradientReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "hypergradient, {} parameters, {}", self.solve.unknowns, self.solve.precision)?;
        writeln!(f, "  inner, outer loss  {:.6e}, {:.6e}", self.inner_value, self.outer_value)?;
        writeln!(f, "  inner gradient     {:.4e}", self.stationarity)?;
        if let Some(distance) = self.distance {
            let norm = self.parameter_norm;
            writeln!(f, "  from the minimizer {distance:.4e}, at parameters of norm {norm:.4e}")?;
        }
        if let Some(bound) = self.distance_bound {
            writeln!(f, "  and at most        {bound:.4e} (a theorem)")?;
        }
        writeln!(f, "  damping            {:.4e}", self.damping)?;
        writeln!(f, "  solved by          {}, {:?}", self.solve.method, self.solve.stop)?;
        writeln!(f, "  relative residual  {:.4e}", self.relative_residual)?;
        if let Some(smallest) = self.smallest_eigenvalue {
            writeln!(f, "  least eigenvalue   {smallest:.4e}")?;
        }
        writeln!(f, "  direct, indirect   {:.4e}, {:.4e}", self.direct_norm, self.indirect_norm)?;
        if !self.constant_in.is_empty() {
            writeln!(f, "  direct only        {}", self.constant_in.join(", "))?;
        }
        if let Some(error) = self.error {
            let kind = if error.proven { "a theorem" } else { "an estimate" };
            writeln!(f, "  error at most      {:.4e} ({kind})", error.total())?;
        }
        write!(f, "{}", self.advice())
    }
}
