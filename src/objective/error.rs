//! What can be wrong with an objective's numbers.

/// A number that cannot be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    /// The loss is NaN or infinite.
    #[error(
        "the loss is {value}; look for a division by zero, a logarithm of zero or an overflow at these parameters, \
         or compute in f64 with `in_f64()`"
    )]
    NotFiniteLoss {
        /// What it is.
        value: String,
    },
}
