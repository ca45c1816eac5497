//! What can be wrong with scores on disk.

/// Scores that cannot be written or read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file that exists already.
    #[error(
        "{path} exists already, with {found}; nothing was overwritten. Continue it with `resume` if it belongs to \
         this run, choose another path, or remove it together with {path}.json"
    )]
    Exists {
        /// The file.
        path: String,
        /// What it contains.
        found: String,
    },
    /// A file of scores without its description, or the other way around.
    #[error(
        "{path} is missing; scores are two files that belong together: the numbers, and a description with the \
         ending `.json`"
    )]
    Missing {
        /// The missing file.
        path: String,
    },
    /// The scores of another run.
    #[error(
        "{path} holds the scores of another run: {what} {found} there and {expected} here; nothing was overwritten. \
         Choose another path"
    )]
    OtherRun {
        /// The file.
        path: String,
        /// What differs.
        what: &'static str,
        /// The value in the file.
        found: String,
        /// The value of this run.
        expected: String,
    },
    /// Scores that are not complete yet.
    #[error("{path} holds the scores of {done} of {queries} queries; continue it with `resume`")]
    Unfinished {
        /// The file.
        path: String,
        /// Queries whose scores are written.
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
    /// Another process is writing the file.
    #[error("{path} is being written by another process; wait for it, or choose another path")]
    InUse {
        /// The file.
        path: String,
    },
    /// Scores of a query that does not exist.
    #[error("query {query} was asked for, but {path} holds {queries}, counted from 0")]
    NoSuchQuery {
        /// The file.
        path: String,
        /// Index of the query.
        query: usize,
        /// Number of queries.
        queries: usize,
    },
    /// The operating system reports a failure.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: String,
        /// The message of the operating system.
        message: String,
    },
}

crate::error::kind!(StoreError);
