//! What a single method reports about a solve.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::StopReason;

/// What a method reports beyond what all report. Values that are not known are `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MethodDetail {
    /// Of a [`Neumann`](crate::solver::Neumann) series.
    Neumann {
        /// The scale s in x ← x + s(b − A x).
        scale: f64,
        /// An estimate of λmax (of M⁻¹A with a preconditioner), if one was made. The series converges for
        /// s < 2/λmax.
        largest: Option<f64>,
        /// ‖r‖ over the ‖r‖ before, in the last iteration (in the norm of M⁻¹ with a preconditioner). Rises towards
        /// ‖I − sA‖ as the series goes on; above 1 it diverges.
        contraction: Option<f64>,
        /// A bound on ‖x − A⁻¹b‖: ‖r‖/λmin if `smallest` was given, else s·‖r‖/(1 − contraction), which is too low as
        /// long as the contraction rises.
        error_bound: Option<f64>,
    },
    /// Of [`Lissa`](crate::solver::Lissa).
    Lissa {
        /// The scale by which the terms are divided.
        scale: f64,
        /// Iterations of each repeat.
        depth: usize,
        /// Repeats that were averaged.
        repeats: usize,
        /// Products with a single term, besides the `applications` of the whole.
        term_products: usize,
        /// A lower bound on what the largest eigenvalue of a term may be, in absolute value: the largest ‖Aᵢh‖/‖h‖ seen.
        largest: Option<f64>,
        /// √E‖x − E x‖², the scatter of the average, estimated from the repeats. `None` after a single repeat.
        standard_error: Option<f64>,
        /// depth·λmin/scale: about exp(−`time_constants`) of the start is left, which is too much if this is below 3.
        time_constants: Option<f64>,
    },
    /// Of [`Nystrom`](crate::solver::Nystrom).
    Nystrom {
        /// Eigenvalues that the approximation holds.
        rank: usize,
        /// The largest of them.
        largest: f64,
        /// The smallest of them: about as much of A is left out.
        smallest: f64,
        /// The damping λ.
        damping: f64,
    },
    /// Of [`Woodbury`](crate::solver::Woodbury).
    Woodbury {
        /// Number of vectors.
        rank: usize,
    },
}

impl MethodDetail {
    /// Advice that needs more than the stop reason.
    pub(super) fn advice(&self, stop: StopReason) -> Option<String> {
        match (self, stop) {
            (Self::Neumann { scale, largest: Some(largest), .. }, StopReason::Diverged) => {
                Some(format!(
                    "The series diverges, since the scale {scale:.3e} times the largest eigenvalue, about {largest:.3e}, exceeds 2: \
                 take a scale of {:.3e}, or none and let the solver choose it.",
                    1.0 / largest
                ))
            }
            (Self::Lissa { scale, largest: Some(largest), .. }, StopReason::Diverged) => {
                Some(format!(
                    "The recursion diverges, since some term has an eigenvalue of at least {largest:.3e} in absolute value where the \
                 scale is {scale:.3e}: raise the scale above the largest eigenvalue of every term, and add damping if a term \
                 is indefinite."
                ))
            }
            (
                Self::Lissa { depth, time_constants: Some(constants), .. },
                StopReason::UnderConverged,
            ) if *constants > 0.0 => Some(format!(
                "The recursion is too short, since depth·λmin/scale is {constants:.2} and should be 3 or more: raise `depth` to {} \
                 or more, or add damping.",
                (3.0 / constants * *depth as f64).ceil()
            )),
            _ => None,
        }
    }
}

/// One line each.
impl fmt::Display for MethodDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: Option<f64>| match value {
            Some(value) => writeln!(f, "  {name:<18} {value:.4e}"),
            None => Ok(()),
        };
        match self {
            Self::Neumann { scale, largest, contraction, error_bound } => {
                line("scale", Some(*scale))?;
                line("largest eigenvalue", *largest)?;
                line("contraction", *contraction)?;
                line("error at most", *error_bound)
            }
            Self::Lissa { scale, depth, repeats, standard_error, time_constants, .. } => {
                line("scale", Some(*scale))?;
                line("standard error", *standard_error)?;
                line("depth·λmin/scale", *time_constants)?;
                writeln!(f, "  repeats            {repeats} of depth {depth}")
            }
            Self::Nystrom { rank, largest, smallest, .. } => writeln!(
                f,
                "  rank               {rank}, eigenvalues {largest:.4e} to {smallest:.4e}"
            ),
            Self::Woodbury { rank } => writeln!(f, "  vectors            {rank}"),
        }
    }
}
