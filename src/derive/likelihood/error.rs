//! Why a likelihood cannot be used.

/// A likelihood that does not fit the outputs, or cannot be sampled as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LikelihoodError {
    /// A parameter out of range, or outputs of the wrong shape.
    #[error("the likelihood does not fit: {reason}, and {found} was found")]
    Unfit {
        /// What is needed.
        reason: &'static str,
        /// What was found.
        found: String,
    },
    /// More targets than fit into memory.
    #[error(
        "{draws} targets for every sample do not fit into memory; draw fewer, or use `Fisher::exact`"
    )]
    TooManyDraws {
        /// Number of targets.
        draws: usize,
    },
    /// A Monte-Carlo estimate from no target.
    #[error("at least one target must be drawn for every sample, and 0 were asked for")]
    NoDraws,
}

crate::error::kind!(LikelihoodError);
