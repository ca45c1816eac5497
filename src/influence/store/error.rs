//! What can be wrong with scores on disk.

/// Scores that cannot be written or read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file that is there already.
    #[error(
        "{path} is there already, with {found}; nothing was overwritten. Go on with it by `resume` if it is of this run, \
         choose another path, or remove it together with {path}.json"
    )]
    Exists {
        /// The file.
        path: String,
        /// What it is.
        found: String,
    },
    /// A file of scores without its description, or the other way around.
    #[error(
        "{path} is missing; scores are two files, the numbers and a description with the ending `.json`, that belong \
         together"
    )]
    Missing {
        /// The file that is not there.
        path: String,
    },
    /// The scores of another run.
    #[error(
        "{path} holds the scores of another run: {what} {found} there and {expected} here; nothing was overwritten. Choose \
         another path"
    )]
    OtherRun {
        /// The file.
        path: String,
        /// What differs.
        what: &'static str,
        /// What the file says of it.
        found: String,
        /// What it is here.
        expected: String,
    },
    /// Scores that are not all there yet.
    #[error("{path} holds the scores of {done} of {queries} queries; go on with it by `resume`")]
    Unfinished {
        /// The file.
        path: String,
        /// Queries whose scores are there.
        done: usize,
        /// Queries in all.
        queries: usize,
    },
    /// A file that is shorter or longer than its description says.
    #[error(
        "{path} is damaged: {reason}; nothing was overwritten. Remove it together with its description and start again"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another program is writing there.
    #[error("{path} is being written by another process; wait for it, or choose another path")]
    InUse {
        /// The file.
        path: String,
    },
    /// Scores of a query that is not there.
    #[error("query {query} was asked for, and {path} holds {queries}")]
    NoSuchQuery {
        /// The file.
        path: String,
        /// Index of the query.
        query: usize,
        /// Number of queries.
        queries: usize,
    },
    /// The operating system refuses.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: String,
        /// What it says.
        message: String,
    },
}

crate::error::kind!(StoreError);
