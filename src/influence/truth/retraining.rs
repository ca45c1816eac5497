//! Training again, by a closure of the user's.

use std::sync::Arc;

use burn::module::Module;
use burn_backend::AutodiffBackend;

use super::{Changes, TruthError};
use crate::{
    config::Field,
    error::Error,
    influence::{InfluenceError, Query, losses::SampleLosses, scores::expect_group},
    objective::{Objective, Progress},
    panics::caught,
    seeds::Seeds,
    space::ParamVector,
    tensor::TensorBridge,
};

type Run<'a> = Box<dyn FnMut(&[usize], u64) -> Result<Vec<f64>, Error> + 'a>;

/// A training that can be repeated on some of its samples, and the functions that it is judged by: test losses or any
/// other f(θ).
///
/// The closure gets the indices of the samples to train on, in increasing order, and a seed for whatever is random in it
/// (initial weights, order of batches). It returns the values of f, the parameters or the model.
///
/// # Example
/// The mean of some numbers as a model; f is its value.
///
/// ```
/// use burn_curvature::{Error, influence::truth::Retraining};
///
/// # fn main() -> Result<(), Error> {
/// let numbers = [1.0, 1.0, 4.0];
/// let mut retraining = Retraining::new(3, |kept, _seed| -> Result<Vec<f64>, Error> {
///     Ok(vec![kept.iter().map(|&n| numbers[n]).sum::<f64>() / kept.len() as f64])
/// });
/// let changes = retraining.leave_one_out(&[0, 2])?;
/// assert_eq!((changes.before[0], changes.row(0)), (2.0, Some(&[0.5, -1.0][..])));
/// # Ok(())
/// # }
/// ```
pub struct Retraining<'a> {
    samples: usize,
    run: Run<'a>,
    seed: u64,
    repeats: usize,
    /// The number of values in the closure's first good result.
    values: Option<usize>,
    observer: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

impl std::fmt::Debug for Retraining<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retraining")
            .field("samples", &self.samples)
            .field("seed", &self.seed)
            .field("repeats", &self.repeats)
            .finish_non_exhaustive()
    }
}

impl<'a> Retraining<'a> {
    /// A training set of `samples` samples, with a closure that trains and returns the values of f.
    pub fn new<E: Into<Error>>(
        samples: usize,
        mut train: impl FnMut(&[usize], u64) -> Result<Vec<f64>, E> + 'a,
    ) -> Self {
        let run: Run<'a> = Box::new(move |kept, seed| train(kept, seed).map_err(Into::into));
        Self { samples, run, seed: 0, repeats: 1, values: None, observer: None }
    }

    /// The same with a closure that returns the parameters. f is that of the query: the losses of the samples of an
    /// objective, its value, or gᵀθ for a vector g.
    pub fn of_parameters<B, E>(
        samples: usize,
        query: impl Into<Query<'a, B>>,
        mut train: impl FnMut(&[usize], u64) -> Result<ParamVector<B>, E> + 'a,
    ) -> Self
    where
        B: AutodiffBackend + 'a,
        E: Into<Error>,
    {
        let query = query.into();
        Self::new(samples, move |kept, seed| {
            values(&query, &train(kept, seed).map_err(Into::into)?)
        })
    }

    /// The same with a closure that returns the model, of the type that the objective of the query was captured from.
    pub fn of_models<B, M, E>(
        samples: usize,
        query: &'a Objective<B>,
        mut train: impl FnMut(&[usize], u64) -> Result<M, E> + 'a,
    ) -> Self
    where
        B: AutodiffBackend<InnerBackend: TensorBridge>,
        M: Module + 'static,
        E: Into<Error>,
    {
        Self::new(samples, move |kept, seed| {
            losses(&query.at_model(&train(kept, seed).map_err(Into::into)?)?)
        })
    }

    /// Sets the seed from which the seeds of all trainings are derived. Trainings that are compared share their seeds.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets the number of trainings for each set of samples, with different seeds, over which f is averaged.
    #[must_use]
    pub fn with_repeats(self, repeats: usize) -> Self {
        Self { repeats, ..self }
    }

    /// Sets an observer that is called after every training with the number done.
    #[must_use]
    pub fn with_progress(self, observer: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Arc::new(observer)), ..self }
    }

    /// Number of samples of the training set.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Trains on all samples, and without each of the given ones: the changes of f.
    ///
    /// # Cost
    /// One training, and one more for each sample.
    ///
    /// # Errors
    /// As [`leave_out`](Self::leave_out).
    pub fn leave_one_out(&mut self, samples: &[usize]) -> Result<Changes, Error> {
        let groups: Vec<_> = samples.iter().map(|&sample| vec![sample]).collect();
        self.leave_out(&groups)
    }

    /// Trains on all samples, and without each of the given groups: the changes of f.
    ///
    /// # Cost
    /// One training, and one more for each group; times the repeats.
    ///
    /// # Errors
    /// Those of the closure; [`TruthError::Panicked`]; [`TruthError::Count`] or [`TruthError::NotFinite`] for what it returns;
    /// [`InfluenceError::NoSuchSample`] and others for a group; [`ConfigError`](crate::errors::ConfigError) for no repeats.
    pub fn leave_out(&mut self, groups: &[Vec<usize>]) -> Result<Changes, Error> {
        for (index, group) in groups.iter().enumerate() {
            expect_group(index, group, self.samples)?;
            if group.len() == self.samples {
                let samples = self.samples;
                return Err(InfluenceError::NothingLeft { group: index, samples }.into());
            }
        }
        let total = groups.len() + 1;
        let all: Vec<usize> = (0..self.samples).collect();
        let before = self.trained(&all, (0, total))?;
        let mut columns = Vec::with_capacity(groups.len());
        for (index, group) in groups.iter().enumerate() {
            let mut out = vec![false; self.samples];
            group.iter().for_each(|&sample| out[sample] = true);
            let kept: Vec<usize> = (0..self.samples).filter(|&sample| !out[sample]).collect();
            columns.push(self.trained(&kept, (index + 1, total))?);
        }
        Ok(Changes::new(self.samples, groups, before, &columns))
    }

    /// f after training on some samples, the mean over the repeats; `done` of `total` such trainings are finished.
    pub(super) fn trained(
        &mut self,
        kept: &[usize],
        (done, total): (usize, usize),
    ) -> Result<Vec<f64>, Error> {
        let repeats = self.repeats;
        Field { config: "Retraining", name: "repeats" }.at_least_one(repeats)?;
        let mut mean: Vec<f64> = Vec::new();
        for repeat in 0..repeats {
            let seed = Seeds::at(self.seed, repeat as u64);
            let found = caught(|| (self.run)(kept, seed))
                .map_err(|message| TruthError::Panicked { samples: kept.len(), seed, message })??;
            let expected = self.values.unwrap_or(found.len()).max(1);
            TruthError::expect_count("the training closure", expected, found.len())?;
            TruthError::expect_finite("the training closure", &found)?;
            self.values = Some(expected); // once there is a good result
            mean.resize(expected, 0.0);
            mean.iter_mut().zip(found).for_each(|(mean, value)| *mean += value / repeats as f64);
            if let Some(observer) = &self.observer {
                observer(Progress { done: done * repeats + repeat + 1, total: total * repeats });
            }
        }
        Ok(mean)
    }
}

/// f(θ) for the functions of a query.
pub(super) fn values<B: AutodiffBackend>(
    query: &Query<'_, B>,
    at: &ParamVector<B>,
) -> Result<Vec<f64>, Error> {
    match query {
        Query::Samples(objective) => losses(&objective.at(at)?),
        Query::Value(objective) => Ok(vec![objective.at(at)?.value()?]),
        Query::Vectors(vectors) => {
            Ok(vectors.iter().map(|vector| vector.dot(at)).collect::<Result<_, _>>()?)
        }
    }
}

fn losses<B: AutodiffBackend>(objective: &Objective<B>) -> Result<Vec<f64>, Error> {
    SampleLosses::new(objective)?.values()
}
