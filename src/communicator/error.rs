//! What can go wrong between ranks.

/// A sum that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommunicatorError {
    /// A rank that no longer takes part.
    #[error(
        "rank {rank} has {}, and takes no part in this sum: all ranks make the same calls in the same order. Its own \
         error says why it ended, unless it returned early", if *panicked { "panicked" } else { "returned" }
    )]
    Left {
        /// Its number.
        rank: usize,
        /// Whether it panicked.
        panicked: bool,
    },
    /// A rank that makes another call.
    #[error(
        "rank {rank} sums {found} where rank 0 sums {expected}: all ranks make the same calls in the same order, \
         with vectors of the same layout and precision"
    )]
    OtherCall {
        /// Its number.
        rank: usize,
        /// What rank 0 called with.
        expected: String,
        /// What this rank called with.
        found: String,
    },
    /// The work of a rank panicked.
    #[error("rank {rank} panicked: {message}")]
    Panicked {
        /// Its number.
        rank: usize,
        /// The message of the panic.
        message: String,
    },
    /// MPI cannot be used as asked.
    #[error("MPI {found}; {expected}")]
    Mpi {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Failure of an engine of your own.
    #[error("the communicator failed: {message}")]
    Engine {
        /// Its message.
        message: String,
    },
}

impl CommunicatorError {
    /// The failure of an engine, to be returned from a [`Communicator`](super::Communicator) of your own.
    pub fn engine(error: impl std::fmt::Display) -> Self {
        Self::Engine { message: error.to_string() }
    }
}

crate::error::kind!(CommunicatorError);
