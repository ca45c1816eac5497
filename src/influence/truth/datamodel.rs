//! The linear datamodeling score: whether sums of scores rank trainings on random subsets.

use std::fmt;

use burn::config::Config;
use serde::{Deserialize, Serialize};

use super::{Retraining, TruthError, changes::leaving_out, spearman};
use crate::{config::Field, error::Error, influence::Scores, seeds::Seeds};

/// Configuration of trainings on random subsets of the training set.
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `subsets` | 100 | ≥ 2 | number of subsets |
/// | `fraction` | 0.5 | (0, 1) | α, the share of the samples in each |
/// | `seed` | 0 | | of the subsets |
///
/// # References
/// Park et al. 2023, *TRAK: attributing model behavior at scale*, definition 2.4.
///
/// # Example
/// The sum of some numbers as a model, which scores predict exactly: leaving a number out lowers the sum by it.
///
/// ```
/// use burn_curvature::{Error, influence::truth::{DatamodelConfig, Retraining}};
///
/// # fn main() -> Result<(), Error> {
/// let numbers = [3.0, -1.0, 2.0, 7.0, 0.5, 4.0];
/// let mut retraining = Retraining::new(6, |kept, _seed| -> Result<Vec<f64>, Error> {
///     Ok(vec![kept.iter().map(|&n| numbers[n]).sum()])
/// });
/// let outputs = DatamodelConfig::new().with_subsets(20).sample(&mut retraining)?;
/// let scores = numbers.map(|number| -number);
/// assert!((outputs.score_rows([scores])?.mean - 1.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct DatamodelConfig {
    /// Number of subsets.
    #[config(default = 100)]
    pub subsets: usize,
    /// α, the share of the samples in each subset.
    #[config(default = 0.5)]
    pub fraction: f64,
    /// Seed of the subsets.
    #[config(default = 0)]
    pub seed: u64,
}

impl DatamodelConfig {
    /// Trains on each subset. If trainings are random, run several for each subset: [`Retraining::with_repeats`].
    ///
    /// # Cost
    /// `subsets` trainings, times the repeats.
    ///
    /// # Errors
    /// [`ConfigError`](crate::errors::ConfigError); [`TruthError::Subset`]; as [`Retraining::leave_out`].
    pub fn sample(&self, retraining: &mut Retraining<'_>) -> Result<SubsetOutputs, Error> {
        let field = |name| Field { config: "DatamodelConfig", name };
        field("subsets").check(self.subsets as f64, self.subsets >= 2, "at least 2")?;
        field("fraction").fraction(self.fraction)?;
        let samples = retraining.samples();
        let kept = (self.fraction * samples as f64).round() as usize;
        if kept == 0 || kept >= samples {
            return Err(TruthError::Subset { kept, samples }.into());
        }
        let (mut subsets, mut outputs) = (Vec::new(), Vec::new());
        for index in 0..self.subsets {
            let subset = drawn(samples, kept, Seeds::at(self.seed, index as u64));
            outputs.push(retraining.trained(&subset, (index, self.subsets))?);
            subsets.push(subset);
        }
        Ok(SubsetOutputs { samples, subsets, outputs })
    }
}

/// Some of the samples, in increasing order.
fn drawn(samples: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut seeds = Seeds::new(seed);
    let mut order: Vec<usize> = (0..samples).collect();
    for first in 0..count {
        let left = (samples - first) as u64;
        order.swap(first, first + (seeds.next() % left) as usize);
    }
    order.truncate(count);
    order.sort_unstable();
    order
}

/// The outcomes of trainings on random subsets: the truth that [`DatamodelingScore`]s are computed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubsetOutputs {
    /// Number of training samples.
    pub samples: usize,
    /// The samples of each subset.
    pub subsets: Vec<Vec<usize>>,
    /// Each f after training on each subset: `outputs[subset][query]`.
    pub outputs: Vec<Vec<f64>>,
}

/// How well sums of scores rank the outcomes of trainings on random subsets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatamodelingScore {
    /// Spearman's correlation over the subsets, for each f.
    pub per_query: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// The standard error of the mean over the functions f (test samples); 0 for a single f, for which it is unknown.
    pub standard_error: f64,
    /// The standard error of the mean over the subsets, which all f share, by the jackknife: the spread of the means
    /// without one subset. `None` where it is unknown: for two subsets, or where outcomes hardly vary.
    #[serde(default)]
    pub subset_error: Option<f64>,
    /// Number of subsets.
    pub subsets: usize,
}

impl DatamodelingScore {
    /// The 95 % confidence interval of the mean: over other functions f and other subsets, as far as their errors are
    /// known.
    pub fn interval(&self) -> [f64; 2] {
        let error = 1.96 * self.standard_error.hypot(self.subset_error.unwrap_or(0.0));
        [self.mean - error, self.mean + error]
    }
}

impl SubsetOutputs {
    /// The linear datamodeling score of some scores.
    ///
    /// ```text
    /// LDS(f) = Spearman over subsets S of ( f trained on S,  Σ_{n∉S} score(f, n) )
    /// ```
    ///
    /// Scores of both [`Prediction`](crate::influence::Prediction)s are taken with their signs.
    ///
    /// # Errors
    /// [`TruthError::OtherSamples`], [`TruthError::Count`] for scores of other queries; [`TruthError::Constant`] where f or the
    /// sums do not vary.
    pub fn score(&self, scores: &Scores) -> Result<DatamodelingScore, TruthError> {
        let sign = leaving_out(scores).signum();
        self.score_rows(scores.rows().map(|row| row.iter().map(|s| sign * s).collect::<Vec<_>>()))
    }

    /// The same for rows of scores, one for each f, each the predicted change of f when the sample is left out.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    pub fn score_rows<R: AsRef<[f64]>>(
        &self,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<DatamodelingScore, TruthError> {
        TruthError::expect_samples(&self.subsets, self.samples)?;
        let queries = self.outputs.first().map_or(0, Vec::len);
        let mut per_query = Vec::with_capacity(queries);
        let mut without = Some(vec![0.0; self.subsets.len()]);
        for (query, row) in rows.into_iter().enumerate() {
            let row = row.as_ref();
            let (expected, found) = (self.samples, row.len());
            if found != expected {
                return Err(TruthError::OtherSamples { expected, found });
            }
            let all: f64 = row.iter().sum();
            let within = |subset: &Vec<usize>| subset.iter().map(|&n| row[n]).sum::<f64>();
            let predicted: Vec<f64> = self.subsets.iter().map(|s| all - within(s)).collect();
            let truth = self.outputs.iter().filter_map(|outputs| outputs.get(query));
            let truth: Vec<f64> = truth.copied().collect();
            per_query.push(spearman(&predicted, &truth)?);
            without = without.and_then(|sums| added(sums, &predicted, &truth));
        }
        TruthError::expect_count("queries of the scores", queries, per_query.len())?;
        let count = per_query.len() as f64;
        let mean = per_query.iter().sum::<f64>() / count;
        let squares: f64 = per_query.iter().map(|score| (score - mean).powi(2)).sum();
        let standard_error =
            if count > 1.0 { (squares / (count - 1.0) / count).sqrt() } else { 0.0 };
        let subset_error = without.map(|sums| jackknife(&sums) / count);
        let subsets = self.subsets.len();
        Ok(DatamodelingScore { per_query, mean, standard_error, subset_error, subsets })
    }
}

/// Adds the correlations without each of the subsets to their sums; `None` where one is not defined.
fn added(mut sums: Vec<f64>, predicted: &[f64], truth: &[f64]) -> Option<Vec<f64>> {
    for (left_out, sum) in sums.iter_mut().enumerate() {
        let rest = |values: &[f64]| [&values[..left_out], &values[left_out + 1..]].concat();
        *sum += spearman(&rest(predicted), &rest(truth)).ok()?;
    }
    Some(sums)
}

/// The standard error of a statistic, from its values without each of n observations: √((n − 1)/n · Σ (tᵢ − t̄)²).
fn jackknife(without: &[f64]) -> f64 {
    let count = without.len() as f64;
    let mean = without.iter().sum::<f64>() / count;
    let squares: f64 = without.iter().map(|value| (value - mean).powi(2)).sum();
    ((count - 1.0) / count * squares).sqrt()
}

impl fmt::Display for DatamodelingScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_query, mean, subsets, .. } = self;
        let (queries, [low, high]) = (per_query.len(), self.interval());
        write!(
            f,
            "LDS {mean:.3} (95 %: {low:.3} to {high:.3}; {queries} queries, {subsets} subsets)"
        )
    }
}
