//! Scores: a row for each query, a column for each training sample.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{InfluenceError, InfluenceReport};

/// Scores of all training samples for some queries.
///
/// With [`Prediction::LeftOut`](super::Prediction::LeftOut), `row(q)[n]` is the predicted change of fᵩ when sample n is left
/// out of the training, in units of f: positive where the sample lowers f (it helps), negative where it raises it. Samples
/// are counted in the order of the training objective's batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct Scores {
    values: Vec<f64>,
    queries: usize,
    samples: usize,
    /// The report on them.
    pub report: InfluenceReport,
}

/// Scores as a file has them.
#[derive(Deserialize)]
struct Saved {
    values: Vec<f64>,
    queries: usize,
    samples: usize,
    report: InfluenceReport,
}

impl TryFrom<Saved> for Scores {
    type Error = InfluenceError;

    fn try_from(Saved { values, queries, samples, report }: Saved) -> Result<Self, InfluenceError> {
        if queries.checked_mul(samples) != Some(values.len()) {
            return Err(InfluenceError::Sizes { values: values.len(), queries, samples });
        }
        expect_finite(values.chunks(samples.max(1)), 0, f64::is_finite)?;
        Ok(Self { values, queries, samples, report })
    }
}

impl Scores {
    pub(super) fn new(values: Vec<f64>, report: InfluenceReport) -> Result<Self, InfluenceError> {
        let (queries, samples) = (report.queries, report.samples);
        Self::try_from(Saved { values, queries, samples, report })
    }

    /// Number of queries.
    pub fn queries(&self) -> usize {
        self.queries
    }

    /// Number of training samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// All scores, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The scores of all samples for a query; `None` beyond the last query.
    pub fn row(&self, query: usize) -> Option<&[f64]> {
        let start = query.checked_mul(self.samples)?;
        self.values.get(start..start.checked_add(self.samples)?)
    }

    /// The rows, in the order of the queries.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks(self.samples.max(1))
    }

    /// The samples with the largest scores for a query, the largest first; with
    /// [`Prediction::LeftOut`](super::Prediction::LeftOut) those that lower f most.
    pub fn largest(&self, query: usize, count: usize) -> Vec<(usize, f64)> {
        let mut best = Best::new(count);
        best.extend(self.row(query).unwrap_or_default().iter().copied().enumerate());
        best.into_sorted()
    }

    /// The samples with the smallest scores for a query, the smallest first.
    pub fn smallest(&self, query: usize, count: usize) -> Vec<(usize, f64)> {
        let mut best = Best::new(count);
        let row = self.row(query).unwrap_or_default().iter();
        best.extend(row.map(|score| -score).enumerate());
        best.into_sorted().into_iter().map(|(sample, score)| (sample, -score)).collect()
    }

    /// Scores of groups of samples: to first order, the sums of those of their samples. A row for each query, a column for
    /// each group.
    ///
    /// # Errors
    /// [`InfluenceError::NoSuchSample`], [`InfluenceError::EmptyGroup`], [`InfluenceError::Repeated`].
    pub fn of_groups(&self, groups: &[Vec<usize>]) -> Result<Vec<Vec<f64>>, InfluenceError> {
        groups
            .iter()
            .enumerate()
            .try_for_each(|(index, group)| expect_group(index, group, self.samples))?;
        Ok(self.rows().map(|row| sums(row, groups)).collect())
    }
}

/// The sum of the scores of each group.
pub(super) fn sums(row: &[f64], groups: &[Vec<usize>]) -> Vec<f64> {
    let of_group = |group: &Vec<usize>| group.iter().filter_map(|&sample| row.get(sample)).sum();
    groups.iter().map(of_group).collect()
}

/// Checks that scores are numbers that `fit`; `first` is the index of the first sample of a row.
pub(super) fn expect_finite<'a>(
    rows: impl IntoIterator<Item = &'a [f64]>,
    first: usize,
    fit: impl Fn(f64) -> bool,
) -> Result<(), InfluenceError> {
    let within = |row: &'a [f64]| row.iter().enumerate().find(|(_, score)| !fit(**score));
    match rows.into_iter().find_map(within) {
        None => Ok(()),
        Some((own, score)) => {
            let (what, value) = ("score", score.to_string());
            Err(InfluenceError::NotFinite { what, sample: first + own, value })
        }
    }
}

/// Checks the indices of a group of samples.
pub(super) fn expect_group(
    group: usize,
    members: &[usize],
    samples: usize,
) -> Result<(), InfluenceError> {
    if members.is_empty() {
        return Err(InfluenceError::EmptyGroup { group });
    }
    if let Some(&sample) = members.iter().find(|&&sample| sample >= samples) {
        return Err(InfluenceError::NoSuchSample { group, sample, samples });
    }
    let mut sorted = members.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(InfluenceError::Repeated { group, sample: pair[0] }),
        None => Ok(()),
    }
}

/// The largest of many scores, with bounded memory. Of equal ones the earlier sample comes first.
pub(super) struct Best {
    count: usize,
    found: Vec<(usize, f64)>,
}

impl Best {
    pub fn new(count: usize) -> Self {
        Self { count, found: Vec::new() }
    }

    pub fn extend(&mut self, scores: impl Iterator<Item = (usize, f64)>) {
        for score in scores {
            self.found.push(score);
            if self.found.len() >= self.count.max(32).saturating_mul(2) {
                self.cut();
            }
        }
    }

    pub fn into_sorted(mut self) -> Vec<(usize, f64)> {
        self.cut();
        self.found
    }

    fn cut(&mut self) {
        self.found
            .sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal).then(a.0.cmp(&b.0)));
        self.found.truncate(self.count);
    }
}
