//! Scores that are larger than memory: written to a file block by block, with the memory known before the start, and gone on
//! with after an interruption. Depends on the influences; independent of how they are estimated.
//!
//! The file has NumPy's format (`numpy.load("scores.npy", mmap_mode="r")`): a row for each query, a column for each training
//! sample. Beside it is a description, `scores.npy.json`: of what run the scores are (settings, θ, sizes, checksums of the
//! losses), how many queries are done, and their report. Scores of another run are refused, and nothing is overwritten.
//!
//! A run that was interrupted and resumed writes the same bits as one that was not. Whether scores depend on the size of the
//! training batches is a question of rounding alone. It does not compress and does not sort; see
//! [`Influence::top`](super::Influence::top) for the largest scores.

mod error;
mod journal;
mod memory;
mod npy;
mod stored;
mod writer;

pub use error::StoreError;
pub use stored::StoredScores;

use std::{fmt, path::Path, sync::Arc};

use burn::config::Config;
use burn_backend::AutodiffBackend;

use super::{Influence, InfluenceError, Query, query::Gradients};
use crate::{
    error::Error, objective::Progress, seeds::Seeds, space::ParamVector, tensor::DefaultBackend,
    tensor::Precision,
};
use journal::Fingerprint;

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

/// Scores that are to be written: of what, how large, and with how much memory.
pub struct ScorePlan<'a, B: AutodiffBackend = DefaultBackend> {
    influence: &'a Influence<B>,
    gradients: Gradients<'a, B>,
    fingerprint: Fingerprint,
    memory: usize,
    observer: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

impl StoreConfig {
    /// Plans the scores of all training samples for a query.
    ///
    /// # Cost
    /// A forward pass over the training samples and over those of the query, for checksums.
    ///
    /// # Errors
    /// As [`Influence::visit_scores`].
    pub fn init<'a, B: AutodiffBackend>(
        &self,
        influence: &'a Influence<B>,
        query: impl Into<Query<'a, B>>,
    ) -> Result<ScorePlan<'a, B>, Error> {
        let training = influence.training();
        training.expect_data_here("a store of scores")?;
        let gradients = Gradients::of(query.into(), training.parameters().space())?;
        let computed = training.precision();
        let written = self.precision.unwrap_or(computed);
        let settings = serde_json::to_string(influence.config()).map_err(Error::new)?;
        let fingerprint = Fingerprint {
            settings,
            layout: layout(training.parameters()),
            parameters: hashed(&training.parameters().to_vec()?),
            queries: gradients.len(),
            samples: influence.samples(),
            computed,
            written,
            training: checksum(&influence.training_losses()?),
            query: asked(&gradients)?,
        };
        let memory = memory::predicted(influence, &gradients, written)?;
        Ok(ScorePlan { influence, gradients, fingerprint, memory, observer: None })
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

    /// Number of training samples: columns of the file.
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

    /// Computes the scores and writes them to a file that is not there yet.
    ///
    /// # Errors
    /// [`StoreError::Exists`] and other [`StoreError`]s; as [`Influence::visit_scores`].
    pub fn create(&self, path: impl AsRef<Path>) -> Result<StoredScores, Error> {
        self.write(writer::Writer::create(path.as_ref(), &self.fingerprint)?)
    }

    /// Goes on where a run of the same scores was interrupted. A file that is finished is left as it is.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::OtherRun`] and other [`StoreError`]s; as [`Influence::visit_scores`].
    pub fn resume(&self, path: impl AsRef<Path>) -> Result<StoredScores, Error> {
        self.write(writer::Writer::resume(path.as_ref(), &self.fingerprint)?)
    }

    fn write(&self, mut writer: writer::Writer) -> Result<StoredScores, Error> {
        let (influence, queries) = (self.influence, self.queries());
        let at_once = influence.config().at_once;
        while writer.done() < queries {
            let first = writer.done();
            let last = queries.min(first + at_once);
            let (vectors, solves) = influence.inverse.solve(&self.gradients.some(first..last)?)?;
            let rows = influence.scored(&vectors)?;
            if let Some((row, sample)) = not_finite(&rows) {
                let (what, value) = ("score", rows[row][sample].to_string());
                return Err(InfluenceError::NotFinite { what, sample, value }.into());
            }
            writer.append(&rows, influence.report(last - first, solves, rows.len()))?;
            if let Some(observer) = &self.observer {
                observer(Progress { done: last, total: queries });
            }
        }
        Ok(writer.finish()?)
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

fn not_finite(rows: &[Vec<f64>]) -> Option<(usize, usize)> {
    let within = |row: &Vec<f64>| row.iter().position(|score| !score.is_finite());
    rows.iter().enumerate().find_map(|(index, row)| Some((index, within(row)?)))
}

/// Names and shapes of the parameters.
fn layout<B: AutodiffBackend>(parameters: &ParamVector<B>) -> String {
    let blocks = parameters.layout().blocks().iter();
    let texts = blocks.map(|block| format!("{} {:?}", block.name(), block.shape()));
    texts.collect::<Vec<_>>().join(", ")
}

/// 128 bits that all bits of some numbers count for.
fn hashed(values: &[f64]) -> String {
    let fold =
        |start: u64| values.iter().fold(start, |hash, value| Seeds::at(hash, value.to_bits()));
    format!("{:016x}{:016x}", fold(1), fold(2))
}

/// The sum of some numbers with random weights between ½ and 1½, so that their order counts.
fn checksum(values: &[f64]) -> f64 {
    let weight =
        |index: usize| 0.5 + (Seeds::at(0, index as u64) >> 11) as f64 / (1_u64 << 53) as f64;
    values.iter().enumerate().map(|(index, value)| weight(index) * value).sum()
}

/// A checksum of what is asked for.
fn asked<B: AutodiffBackend>(gradients: &Gradients<'_, B>) -> Result<f64, Error> {
    let values = match gradients {
        Gradients::Samples(losses) => losses.values()?,
        Gradients::Value(objective) => vec![objective.value()?],
        Gradients::Vectors(vectors) => {
            vectors.iter().map(ParamVector::norm).collect::<Result<_, _>>()?
        }
    };
    Ok(checksum(&values))
}
