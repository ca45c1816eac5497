//! What can be wrong with a program.

/// A program that is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A node reads, or the graph returns, a value that nothing defines before.
    #[error("value %{value} is used by {user} before anything defines it")]
    Undefined {
        /// Index of the value.
        value: usize,
        /// Who reads it.
        user: String,
    },
    /// Two nodes write one value.
    #[error("value %{value} is defined twice")]
    DefinedTwice {
        /// Index of the value.
        value: usize,
    },
}

crate::error::kind!(GraphError);
