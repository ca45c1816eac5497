//! What can be wrong with a request for influences.

/// An influence that cannot be computed as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InfluenceError {
    /// K-FAC with a curvature other than the Fisher matrix.
    #[error(
        "`{estimator}` approximates the Fisher matrix of a likelihood, but the curvature is `{curvature}`; configure \
         `Curvature::Fisher(likelihood)` with the likelihood of the loss"
    )]
    NotFisher {
        /// The estimator.
        estimator: &'static str,
        /// The curvature asked for.
        curvature: &'static str,
    },
    /// The estimator has a damping of its own, which differs from that of the influence.
    #[error(
        "the Nyström approximation is configured with damping {found:e}, and the influence with λ = {expected:e} \
         (damping and weight decay together); they are the same λ, so configure both with the same number"
    )]
    OtherDamping {
        /// That of the estimator.
        found: f64,
        /// That of the influence.
        expected: f64,
    },
    /// There is nothing to attribute.
    #[error(
        "there is no query: give at least one vector, or an objective with at least one sample"
    )]
    NoQuery,
    /// A range of queries that does not exist.
    #[error("queries {start}..{end} were asked for, but there are {queries}")]
    QueryRange {
        /// The first.
        start: usize,
        /// One after the last.
        end: usize,
        /// Number of queries.
        queries: usize,
    },
    /// A sample that does not exist.
    #[error(
        "group {group} names sample {sample}, but the training objective has {samples} (counted from 0 in the order \
         of its batches)"
    )]
    NoSuchSample {
        /// Index of the group.
        group: usize,
        /// Index of the sample.
        sample: usize,
        /// Number of samples.
        samples: usize,
    },
    /// A sample that is named twice in a group.
    #[error("group {group} names sample {sample} twice; a sample can be left out only once")]
    Repeated {
        /// Index of the group.
        group: usize,
        /// Index of the sample.
        sample: usize,
    },
    /// A group without samples.
    #[error("group {group} is empty; leave it out")]
    EmptyGroup {
        /// Index of the group.
        group: usize,
    },
    /// Nothing would be left to train on.
    #[error(
        "group {group} holds all {samples} samples, so that none is left to train on; leave out fewer"
    )]
    NothingLeft {
        /// Index of the group.
        group: usize,
        /// Number of samples.
        samples: usize,
    },
    /// A score or a loss that is not finite.
    #[error(
        "the {what} of sample {sample} is {value}; look for a division by zero, a logarithm of zero or an overflow \
         in its loss, or compute in f64 with `in_f64()`"
    )]
    NotFinite {
        /// What it is.
        what: &'static str,
        /// Index of the sample.
        sample: usize,
        /// Its value.
        value: String,
    },
    /// No checkpoint to average over.
    #[error("there is no checkpoint to average over; give at least one")]
    NoCheckpoint,
    /// Checkpoints of another training.
    #[error(
        "a checkpoint has {found} training samples, and the first one has {expected}; average over the same samples \
         in the same order"
    )]
    OtherSamples {
        /// Samples of the first.
        expected: usize,
        /// Samples of the other.
        found: usize,
    },
    /// Scores of checkpoints that are not in the same units.
    #[error(
        "a checkpoint has scores of another sign or scale ({found}) than the first one ({expected}); give all the same \
         `prediction`, the same reduction of the training loss, and `Estimator::Identity` to all or none"
    )]
    OtherScale {
        /// Prediction and reduction of the first.
        expected: String,
        /// Those of the other.
        found: String,
    },
    /// The wrong number of queries.
    #[error(
        "{found} queries were given where {expected} were expected; give the same ones for each checkpoint"
    )]
    QueryCount {
        /// The number expected.
        expected: usize,
        /// The number found.
        found: usize,
    },
    /// Scores by parts, without parts.
    #[error("there is no part of the parameters to score by; give at least one")]
    NoPart,
    /// A matrix of scores whose sizes do not match its values.
    #[error(
        "{values} scores do not fill {queries} queries × {samples} samples; give one score for each pair"
    )]
    Sizes {
        /// Number of values.
        values: usize,
        /// Number of rows.
        queries: usize,
        /// Number of columns.
        samples: usize,
    },
}

crate::error::kind!(InfluenceError);
