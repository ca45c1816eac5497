//! What can be wrong with a recorded gradient.

/// A recorded gradient that is not Burn's, or could not be compared with it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FaithfulnessError {
    /// The closure panicked in Burn itself, where nothing was recorded.
    #[error(
        "the closure panicked when Burn ran it and its `backward()`, to compare the gradients: {message}. Make it \
         train in Burn first, or capture with `CaptureConfig::new().unchecked()` if only Burn's own gradient is \
         missing"
    )]
    BurnPanicked {
        /// The message of the panic.
        message: String,
    },
    /// A tolerance that no comparison can use.
    #[error(
        "the tolerance of the comparison with `backward()` is {found}; expected a number above 0, such as 1e-3"
    )]
    Tolerance {
        /// What was given.
        found: f64,
    },
    /// The recorded gradient is not Burn's.
    #[error(
        "the recorded gradient differs from Burn's own `backward()` by {difference:.1e} of its norm in {parameter} \
         (loss {recorded_loss} recorded, {burn_loss} by Burn). Likely causes: a value read while recording, a \
         `detach` or `without_autodiff` whose place was not found, randomness in the closure, a closure that gives \
         different results when called twice, or an operation whose gradient is wrong in Burn itself: \
         `CurvatureCheck` on a capture with `CaptureConfig::new().unchecked()` tells"
    )]
    Unfaithful {
        /// The parameter with the largest relative difference.
        parameter: String,
        /// ‖g − g_Burn‖ / ‖g_Burn‖ of that parameter.
        difference: f64,
        /// The loss as recorded.
        recorded_loss: f64,
        /// The loss by Burn.
        burn_loss: f64,
    },
}

crate::error::kind!(FaithfulnessError);
