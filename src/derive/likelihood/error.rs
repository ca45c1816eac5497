//! Why a likelihood cannot be used.

use super::Likelihood;

/// A likelihood that does not fit the outputs, or cannot be sampled as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LikelihoodError {
    /// A parameter out of range, or outputs of the wrong shape.
    #[error("the likelihood does not fit: {reason}, but found {found}")]
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
    /// The loss is not the negative logarithm of the likelihood.
    #[error(
        "the captured loss is not the negative logarithm of {likelihood:?} in the reduction that was stated: \
         {reason}. For a loss that is meant to differ use `objective.without_loss_check()`"
    )]
    LossIsNotLikelihood {
        /// The likelihood.
        likelihood: Likelihood,
        /// The curvature of the loss in units of the likelihood's, if one is a multiple of the other.
        ratio: Option<f64>,
        /// What the loss is instead.
        reason: String,
    },
    /// A Monte-Carlo estimate from no target.
    #[error(
        "at least one target must be drawn for every sample, but 0 were asked for; use `Fisher::exact` to draw none"
    )]
    NoDraws,
}

impl LikelihoodError {
    /// The loss has the curvature of `likelihood` times `ratio`, or else that of others times theirs.
    pub(crate) fn loss_is_not(
        likelihood: Likelihood,
        ratio: Option<f64>,
        others: &[(Likelihood, f64)],
    ) -> Self {
        let reason = match (ratio, others) {
            (Some(ratio), _) => format!(
                "in the outputs its curvature is {ratio:.6} times that of the likelihood. Check the variance and the \
                 reduction: a likelihood is a sum over the outputs of a sample. For a mean over tokens return \
                 `Loss::mean_of(losses)` with one loss per token; for a mean over outputs, multiply the loss by their number"
            ),
            (None, []) => "in the outputs its curvature is that of no likelihood here. The outputs must be what the likelihood \
                           takes (logits, not probabilities), and every sample must count once: for a loss that masks or weighs \
                           samples use `GaussNewton`, or pass in only the samples that count"
                .into(),
            (None, others) => {
                let others = others.iter().map(|(other, ratio)| match other {
                    Likelihood::Gaussian { .. } => {
                        format!("Gaussian {{ variance: {:.6} }}", ratio.recip())
                    }
                    _ if (ratio - 1.0).abs() < 1e-3 => format!("{other:?}"),
                    _ => format!("{other:?} times {ratio:.6}"),
                });
                format!(
                    "it has the curvature of {}; take that likelihood, and scale the loss where a factor is named",
                    others.collect::<Vec<_>>().join(" or ")
                )
            }
        };
        Self::LossIsNotLikelihood { likelihood, ratio, reason }
    }
}

crate::error::kind!(LikelihoodError);
