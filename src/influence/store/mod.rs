//! Scores that do not fit in memory: written to a file block by block, with a memory use known in advance, and
//! resumed after an interruption. Depends on the influences; independent of how they are estimated.
//!
//! The file has NumPy's format (`numpy.load("scores.npy", mmap_mode="r")`): a row for each query, a column for each training
//! sample. Next to it is a description, `scores.npy.json`: the run that the scores belong to (settings, θ, sizes,
//! checksums of the losses), how many queries are done, and their report. Scores of another run are refused, and
//! nothing is overwritten.
//!
//! A run that was interrupted and resumed writes the same bits as one that was not. Scores depend on the size of the
//! training batches only through rounding, except with LiSSA, whose terms they are, and with targets that K-FAC draws.
//! The file is neither compressed nor sorted; see [`Influence::top`](super::Influence::top) for the largest scores.
//!
//! For a [shared](crate::Objective::shared) training objective every rank writes its own file, with the columns of
//! its samples, and no score is sent: give each rank its own path. Side by side in the order of ranks
//! (`numpy.concatenate(files, axis=1)`) they are the scores of one process. Ranks that were interrupted resume
//! together, with the same shares.

mod error;
mod journal;
mod memory;
mod npy;
mod print;
mod stored;
mod writer;

pub use error::StoreError;
pub use stored::StoredScores;

use std::{fmt, path::Path, sync::Arc};

use burn::config::Config;
use burn_backend::AutodiffBackend;

use super::{Influence, InfluenceError, Query, Solves, pairs::Asked, scores};
use crate::{error::Error, objective::Progress, tensor::DefaultBackend, tensor::Precision};
use journal::Fingerprint;
use print::{by_batch, checksum, hashed, layout, print_of};
use writer::Writer;

/// Configuration of scores on disk.
///
/// | field | default | purpose |
/// |---|---|---|
/// | `precision` | that of the training objective | of the numbers in the file |
///
/// # Example
/// The mean of three numbers as a model, as in [`Influence`].
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Loss, Objective, influence::{InfluenceConfig, store::{StoreConfig, StoredScores}}};
///
/// #[derive(Module, Debug)]
/// struct Mean {
///     w: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Mean { w: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
/// let y = |y: &[f32]| Tensor::<1>::from_floats(y, &device);
/// let training = Objective::capture(&model, y(&[1.0, 1.0, 4.0]), |model, y| {
///     Loss::mean_of((model.w.val() - y).powf_scalar(2.0) * 0.5)
/// })?;
/// let test = training.on(y(&[0.0, 3.0]))?;
/// let influence = InfluenceConfig::default().init(&training)?;
///
/// # let folder = std::env::temp_dir().join(format!("burn-curvature-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).map_err(burn_curvature::Error::new)?;
/// let path = folder.join("scores.npy");
/// let plan = StoreConfig::new().init(&influence, &test)?;
/// println!("{plan}"); // 2 × 3 scores: 152 bytes on disk, … of memory
/// let mut scores = plan.create(&path)?;
/// assert!((scores.row(0)?[2] + 4.0 / 3.0).abs() < 1e-5);
/// assert_eq!(StoredScores::open(&path)?.queries(), 2);
/// # std::fs::remove_dir_all(&folder).map_err(burn_curvature::Error::new)?;
/// # Ok(())
/// # }
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct StoreConfig {
    /// Of the numbers in the file; that of the training objective if not given.
    pub precision: Option<Precision>,
}

/// A plan of scores to be written: their query, their size, and the memory that writing takes.
pub struct ScorePlan<'a, B: AutodiffBackend = DefaultBackend> {
    influence: &'a Influence<B>,
    asked: Asked<'a, B>,
    fingerprint: Fingerprint,
    memory: usize,
    observer: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

impl StoreConfig {
    /// Plans the scores of all training samples for a query; on a shared objective, of this rank's samples. Collective.
    ///
    /// # Cost
    /// A forward pass over the training samples and over those of the query, for checksums; a gradient for a query that is
    /// the value of an objective.
    ///
    /// # Errors
    /// As [`Influence::visit_scores`].
    pub fn init<'a, B: AutodiffBackend>(
        &self,
        influence: &'a Influence<B>,
        query: impl Into<Query<'a, B>>,
    ) -> Result<ScorePlan<'a, B>, Error> {
        let training = influence.training();
        let asked = influence.asked(query.into())?;
        let computed = training.precision();
        let written = self.precision.unwrap_or(computed);
        let settings = serde_json::to_string(influence.config()).map_err(Error::new)?;
        let rows = influence.losses.rows();
        let print = hashed(&training.parameters().to_vec()?);
        let batches: Vec<f64> = training.samples().iter().map(|&samples| samples as f64).collect();
        let by_batch = by_batch(&influence.config().estimator);
        let of_training = checksum(&influence.training_losses()?, computed);
        let of_query = checksum(&asked.gradients.figures()?, computed);
        let fingerprint = Fingerprint {
            settings,
            layout: layout(training.parameters()),
            parameters: print,
            queries: asked.gradients.len(),
            samples: rows.own,
            first: rows.first,
            computed,
            written,
            training: of_training.0,
            query: of_query.0,
            vectors: print_of(&asked.gradients)?,
            reduction: training.reduction().map(|it| it.to_string()).unwrap_or_default(),
            batches: by_batch.then(|| training.batches()),
            sizes: if by_batch { hashed(&batches) } else { String::new() },
            rounding: [of_training.1, of_query.1],
        };
        let memory = training.agreed(memory::predicted(influence, &asked, written))?;
        Ok(ScorePlan { influence, asked, fingerprint, memory, observer: None })
    }
}

impl<B: AutodiffBackend> ScorePlan<'_, B> {
    /// The same with an observer that is called after every block of queries with how many are done.
    #[must_use]
    pub fn with_progress(self, observer: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Arc::new(observer)), ..self }
    }

    /// Number of queries: rows of the file.
    pub fn queries(&self) -> usize {
        self.fingerprint.queries
    }

    /// Number of training samples: columns of the file. Those of this rank.
    pub fn samples(&self) -> usize {
        self.fingerprint.samples
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        journal::Journal::new(self.fingerprint.clone()).length(self.queries())
    }

    /// Bytes of memory that writing takes at most, beyond what the process holds now: the vectors and scores of
    /// [`at_once`](super::InfluenceConfig::at_once) queries, what products keep between vectors within the
    /// [memory budget](crate::Objective::with_memory_budget), and the values of the largest program on the largest batch. Of
    /// the CPU's memory or the GPU's, whichever the objective is on; allocators and kernels add their own.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Computes the scores and writes them to a new file. Collective: if one rank cannot start, none leaves a file.
    ///
    /// # Errors
    /// [`StoreError::Exists`] and other [`StoreError`]s; as [`Influence::visit_scores`]; on all ranks if it failed on one.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<StoredScores, Error> {
        let path = path.as_ref();
        let own = Writer::create(path, &self.fingerprint);
        let created = own.is_ok();
        let writer = self.agreed(own);
        if created && writer.is_err() {
            Writer::remove(path);
        }
        self.write(writer?)
    }

    /// Resumes an interrupted run of the same scores. A finished file is left as it is. Collective: all ranks resume
    /// from the query that the slowest of them had reached.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::OtherRun`] and other [`StoreError`]s; as [`Influence::visit_scores`]; on all
    /// ranks if it failed on one.
    pub fn resume(&self, path: impl AsRef<Path>) -> Result<StoredScores, Error> {
        let mut writer = self.agreed(Writer::resume(path.as_ref(), &self.fingerprint))?;
        let done = self.influence.training().smallest(writer.done())?;
        self.agreed(writer.back_to(done))?;
        self.write(writer)
    }

    /// After each block all ranks have written it, so that an interruption leaves them a block apart at most.
    fn write(&self, mut writer: Writer) -> Result<StoredScores, Error> {
        let (influence, queries) = (self.influence, self.queries());
        let at_once = influence.config().at_once;
        while writer.done() < queries {
            let first = writer.done();
            let last = queries.min(first.saturating_add(at_once));
            let mut solves = Solves::default();
            let own = influence.scores_here(&self.asked, &(first..last), &mut solves);
            let report = influence.report(last - first, solves, last - first);
            let own = own.and_then(|rows| {
                self.expect_finite(&rows)?;
                Ok(writer.append(&rows, report)?)
            });
            influence.training().agreed(own)?;
            if let Some(observer) = &self.observer {
                observer(Progress { done: last, total: queries });
            }
        }
        self.agreed(writer.finish())
    }

    fn expect_finite(&self, rows: &[Vec<f64>]) -> Result<(), InfluenceError> {
        let narrow = self.fingerprint.written == Precision::F32;
        let fits = |score: f64| score.is_finite() && (!narrow || (score as f32).is_finite());
        let rows = rows.iter().map(Vec::as_slice);
        scores::expect_finite(rows, self.fingerprint.first, fits)
    }

    /// An error on all ranks, if there is one on any.
    fn agreed<T>(&self, own: Result<T, StoreError>) -> Result<T, Error> {
        self.influence.training().agreed(own.map_err(Error::from))
    }
}

impl<B: AutodiffBackend> fmt::Debug for ScorePlan<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScorePlan")
            .field("fingerprint", &self.fingerprint)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

impl<B: AutodiffBackend> fmt::Display for ScorePlan<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (queries, samples) = (self.queries(), self.samples());
        let (file, memory) = (self.file_bytes(), self.memory as f64 / 1e6);
        write!(f, "{queries} × {samples} scores: {file} bytes on disk, {memory:.1} MB of memory")
    }
}
