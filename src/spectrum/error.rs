//! What can go wrong with spectra. Running out of products is a stop reason, not an error.

/// A spectrum that cannot be estimated as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpectrumError {
    /// More eigenpairs were requested than exist.
    #[error(
        "{wanted} eigenpairs of a matrix with {unknowns} rows were requested; ask for {unknowns} at most"
    )]
    TooManyPairs {
        /// Pairs requested.
        wanted: usize,
        /// Rows of the matrix.
        unknowns: usize,
    },
    /// A Ritz value of A + λI is not positive, so the logarithm of the determinant is not real.
    #[error(
        "A has an eigenvalue of at most {ritz:.3e}, so that A + λI is not positive definite for λ = {damping}; take \
         a damping well above {needed:.3e}, or an operator that is positive semidefinite", needed = 0.0 - ritz
    )]
    NotPositive {
        /// The smallest Ritz value of A.
        ritz: f64,
        /// The damping λ.
        damping: f64,
    },
    /// A function has no finite value at a Ritz value.
    #[error(
        "the function is {value} at the Ritz value {at:.3e}; it must be finite on the spectrum of A"
    )]
    FunctionValue {
        /// The Ritz value.
        at: f64,
        /// What the function gave.
        value: f64,
    },
    /// A density cannot be smoothed with a width that is not positive.
    #[error(
        "the width of the smoothing is {found}; it must be finite and above 0, such as a hundredth of the spectrum's \
         range"
    )]
    Width {
        /// The width given.
        found: f64,
    },
}

crate::error::kind!(SpectrumError);
