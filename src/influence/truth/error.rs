//! What can be wrong with a ground truth.

use crate::solver::StopReason;

/// A ground truth that cannot be computed, or cannot be compared with scores.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// The closure that trains panicked.
    #[error("the training closure panicked on {samples} samples with seed {seed}: {message}")]
    Panicked {
        /// Number of samples it was given.
        samples: usize,
        /// The seed it was given.
        seed: u64,
        /// The message of the panic.
        message: String,
    },
    /// The wrong number of values.
    #[error("{what}: {found} values where {expected} were expected")]
    Count {
        /// What the values are.
        what: &'static str,
        /// The number expected.
        expected: usize,
        /// The number found.
        found: usize,
    },
    /// A value that is not finite.
    #[error(
        "value {index} of {what} is {value}; a training that diverges is no ground truth: lower its step size"
    )]
    NotFinite {
        /// What the value belongs to.
        what: &'static str,
        /// Its index.
        index: usize,
        /// The value.
        value: String,
    },
    /// Too few values for a correlation.
    #[error(
        "a correlation of {found} pairs was asked for; give at least 2, and about 20 for a meaningful figure"
    )]
    TooFew {
        /// Number of pairs.
        found: usize,
    },
    /// Values that do not vary have no correlation.
    #[error(
        "all {count} values of {what} are {value}, so that a correlation with them is not defined; compare values \
         that vary"
    )]
    Constant {
        /// What is constant.
        what: &'static str,
        /// How many values there are.
        count: usize,
        /// The value.
        value: f64,
    },
    /// No sample would be left out, or none would be left.
    #[error(
        "a subset of {kept} of {samples} samples was asked for; choose a `fraction` that keeps at least one and \
         leaves at least one out"
    )]
    Subset {
        /// Samples of a subset.
        kept: usize,
        /// All samples.
        samples: usize,
    },
    /// A sample that does not exist, in a truth that was read from a file or put together by hand.
    #[error(
        "set {set} of the truth names sample {sample}, but the truth is of {samples} samples (counted from 0); compute \
         it again, or take it from an undamaged file"
    )]
    NoSuchSample {
        /// Index of the group or subset.
        set: usize,
        /// Index of the sample.
        sample: usize,
        /// All samples.
        samples: usize,
    },
    /// Scores of other samples than the truth.
    #[error(
        "the scores are of {found} samples and the truth is of {expected}; compare scores and retrainings of the \
         same training set"
    )]
    OtherSamples {
        /// Samples of the truth.
        expected: usize,
        /// Samples of the scores.
        found: usize,
    },
    /// Labels of which all or none are wrong.
    #[error(
        "{wrong} of {samples} samples are marked as wrong; detection needs wrong samples and right ones"
    )]
    NothingToFind {
        /// Samples that are marked.
        wrong: usize,
        /// All samples.
        samples: usize,
    },
    /// The response was not found.
    #[error(
        "the proximal Bregman objective was not minimized: after {steps} steps its gradient is {remaining:.3e} of what \
         it was at the start ({stop:?}), and {expected:e} was asked for; raise the damping or `max_steps`, or \
         compute in f64 with `in_f64()`"
    )]
    NoResponse {
        /// Newton steps taken.
        steps: usize,
        /// The norm of the gradient, relative to that at the start.
        remaining: f64,
        /// The relative norm asked for.
        expected: f64,
        /// Why the minimization stopped.
        stop: StopReason,
    },
}

impl TruthError {
    /// Checks that there are as many values as expected.
    pub(super) fn expect_count(
        what: &'static str,
        expected: usize,
        found: usize,
    ) -> Result<(), Self> {
        if expected == found { Ok(()) } else { Err(Self::Count { what, expected, found }) }
    }

    /// Checks that some sets name samples that are there.
    pub(super) fn expect_samples(sets: &[Vec<usize>], samples: usize) -> Result<(), Self> {
        let outside = |members: &Vec<usize>| members.iter().copied().find(|&n| n >= samples);
        let mut found = sets.iter().enumerate();
        match found.find_map(|(set, members)| Some((set, outside(members)?))) {
            Some((set, sample)) => Err(Self::NoSuchSample { set, sample, samples }),
            None => Ok(()),
        }
    }

    /// Checks that all values are finite.
    pub(super) fn expect_finite(what: &'static str, values: &[f64]) -> Result<(), Self> {
        match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, value)) => Err(Self::NotFinite { what, index, value: value.to_string() }),
            None => Ok(()),
        }
    }
}

crate::error::kind!(TruthError);
