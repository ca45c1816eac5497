//! By how much some functions of the trained parameters changed when samples were left out.

use serde::{Deserialize, Serialize};

use super::{Agreement, TruthError};
use crate::influence::{Prediction, Scores, scores::sums};

/// The true changes of f when groups of samples are left out of the training, for every f and every group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Number of training samples.
    pub samples: usize,
    /// The groups that were left out.
    pub groups: Vec<Vec<usize>>,
    /// Each f with all samples.
    pub before: Vec<f64>,
    rows: Vec<Vec<f64>>,
}

impl Changes {
    /// From f after leaving out each group.
    pub(super) fn new(
        samples: usize,
        groups: &[Vec<usize>],
        before: Vec<f64>,
        after: &[Vec<f64>],
    ) -> Self {
        let row = |(query, before): (usize, &f64)| {
            let of_group = |after: &Vec<f64>| after.get(query).map_or(f64::NAN, |f| f - before);
            after.iter().map(of_group).collect()
        };
        let rows = before.iter().enumerate().map(row).collect();
        Self { samples, groups: groups.to_vec(), before, rows }
    }

    /// The changes of one f: f without a group minus f with all samples, in the order of the groups.
    pub fn row(&self, query: usize) -> Option<&[f64]> {
        self.rows.get(query).map(Vec::as_slice)
    }

    /// The rows, in the order of the functions.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.rows.iter().map(Vec::as_slice)
    }

    /// How well scores predict the changes, for each f. The prediction for a group is the sum of the scores of its
    /// samples.
    ///
    /// Scores of [`Prediction::Upweighted`] are first converted to the scale and sign of leaving samples out.
    ///
    /// # Errors
    /// [`TruthError::OtherSamples`], [`TruthError::Count`] for scores of other queries; [`TruthError::TooFew`] or
    /// [`TruthError::Constant`] where a correlation is not defined.
    pub fn agreement(&self, scores: &Scores) -> Result<Vec<Agreement>, TruthError> {
        let rows: Vec<&[f64]> = scores.rows().collect();
        let (expected, found) = (self.samples, scores.samples());
        if found != expected {
            return Err(TruthError::OtherSamples { expected, found });
        }
        TruthError::expect_samples(&self.groups, self.samples)?;
        TruthError::expect_count("queries of the scores", self.rows.len(), rows.len())?;
        let factor = leaving_out(scores);
        let one = |(row, truth): (&&[f64], &Vec<f64>)| {
            let predicted = sums(row, &self.groups);
            Agreement::of(&predicted.iter().map(|p| factor * p).collect::<Vec<_>>(), truth)
        };
        rows.iter().zip(&self.rows).map(one).collect()
    }
}

/// The factor that turns scores into the predicted change when a sample is left out.
pub(super) fn leaving_out(scores: &Scores) -> f64 {
    match scores.report.config.prediction {
        Prediction::LeftOut => 1.0,
        Prediction::Upweighted => -scores.report.reduction.factor(scores.samples()),
    }
}
