//! What can be wrong with an objective that ranks share.

/// Ranks that cannot share an objective, or have diverged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SharedError {
    /// Another rank failed in the same call.
    #[error("rank {rank} failed, and with it this call on all ranks: {message}")]
    OtherRank {
        /// The first rank that failed.
        rank: usize,
        /// The message of its error.
        message: String,
    },
    /// The ranks differ in what they must agree on.
    #[error("{what} of rank {} is not that of rank 0; {advice}", ranks.iter().map(usize::to_string).collect::<Vec<_>>().join(", "))]
    Differs {
        /// What differs.
        what: &'static str,
        /// The ranks that differ from rank 0.
        ranks: Vec<usize>,
        /// What to do about it.
        advice: &'static str,
    },
    /// The ranks make different calls.
    #[error(
        "rank {rank} computes {found} where rank 0 computes {expected}; all ranks make the same calls in the same order"
    )]
    OtherCall {
        /// The first rank that differs from rank 0.
        rank: usize,
        /// The call of rank 0.
        expected: &'static str,
        /// That of the other rank.
        found: &'static str,
    },
    /// An objective that is shared already.
    #[error(
        "the objective is shared already; share the captured one, and give it batches by `over`, `over_stream` or `on`"
    )]
    Again,
    /// A communicator that gives this process or thread a number that no rank has.
    #[error(
        "the communicator gives this rank the number {rank}, and there are {size}: `rank` must count from 0 and be below \
         `size`"
    )]
    NoSuchRank {
        /// The number.
        rank: usize,
        /// Number of ranks.
        size: usize,
    },
    /// More ranks than a message can count.
    #[error("{found} ranks share an objective; at most {most} can")]
    TooMany {
        /// Number of ranks.
        found: usize,
        /// The most that are possible.
        most: usize,
    },
}

crate::error::kind!(SharedError);
