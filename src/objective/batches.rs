//! The batches of an objective, held or fetched again for every pass.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use burn_backend::AutodiffBackend;

use super::{ObjectiveError, Reduction, capturing::Recorder, programs::ProgramSet, values::Values};
use crate::{
    derive::DeriveError,
    error::Error,
    graph::{Graph, ValueType},
    tensor::Operand,
};

/// How far a pass over the batches has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Batches done in this pass.
    pub done: usize,
    /// Batches in a pass.
    pub total: usize,
}

pub(super) type Observer = Arc<dyn Fn(Progress) + Send + Sync>;

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

/// One batch with its programs and its weight in ℒ.
pub(crate) struct Part<B: AutodiffBackend> {
    pub(super) programs: Arc<ProgramSet<B>>,
    pub(super) batch: Counted<B>,
    pub weight: f64,
    /// The point at which the recording last applied.
    applies_at: Mutex<Option<Arc<()>>>,
}

impl<B: AutodiffBackend> Part<B> {
    /// Brings the tensors to a precision and finds, or records, their programs.
    pub(super) fn new(
        recorder: &Recorder<B>,
        values: &Values<B>,
        mut batch: Counted<B>,
        weight: f64,
    ) -> Result<Self, Error> {
        let device = values.device();
        for operand in &batch.operands {
            values.parameters.expect_device(&operand.device())?;
        }
        let dtype = values.precision().dtype();
        let operands = batch.operands.into_iter();
        batch.operands = operands.map(|operand| operand.stored_on(device, dtype)).collect();
        let programs = recorder.programs(values, &batch.operands)?;
        let guards = programs.guards();
        guards.expect_on_batch(|| values.inputs(&batch.operands))?;
        Ok(Self { programs, batch, weight, applies_at: Mutex::default() })
    }

    /// Checks that the recording applies at a point, unless it did so when last checked.
    pub fn once_at(
        &self,
        point: &Arc<()>,
        check: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut last = self.applies_at.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, point)) {
            check()?;
            *last = Some(Arc::clone(point));
        }
        Ok(())
    }

    /// The loss as recorded.
    pub fn recorded(&self) -> &Graph {
        self.programs.recorded()
    }

    /// Type of the model's outputs.
    pub fn outputs_type(&self) -> Result<&ValueType, DeriveError> {
        self.programs.outputs_type()
    }

    /// Size of the outputs' first dimension.
    pub fn samples_of_outputs(&self) -> usize {
        let outputs = self.outputs_type().ok();
        let first = outputs.and_then(|ty| ty.shape.iter().next().copied());
        first.unwrap_or(1)
    }
}

/// Takes the tensors of one batch after another, with its number of samples.
pub(super) type Visit<'a, B> = &'a mut dyn FnMut(Counted<B>) -> Result<(), Error>;

/// The tensors of a batch, and its number of samples.
#[derive(Clone)]
pub(crate) struct Counted<B: AutodiffBackend> {
    pub operands: Operands<B>,
    pub samples: usize,
    /// Whether the count came from [`Batch::samples`](crate::capture::Batch::samples).
    supplied: bool,
}

impl<B: AutodiffBackend> Counted<B> {
    pub fn new(operands: Operands<B>, supplied: Option<usize>) -> Self {
        Self {
            samples: supplied.unwrap_or_else(|| samples::<B>(&operands)),
            supplied: supplied.is_some(),
            operands,
        }
    }

    /// Whether the first dimension of its first tensor holds several samples.
    pub fn can_be_halved(&self) -> bool {
        !self.supplied && self.samples > 1
    }
}

/// Passes on all batches once.
pub(super) type Run<B> = dyn Fn(Visit<'_, B>) -> Result<(), Error> + Send + Sync;

/// Batches that are fetched for every pass.
pub(super) struct Stream<B: AutodiffBackend> {
    pub run: Box<Run<B>>,
    /// Samples of each batch, as the first pass saw them.
    pub sizes: Vec<usize>,
    pub reduction: Reduction,
}

impl<B: AutodiffBackend> Stream<B> {
    /// Samples in all batches.
    pub fn samples(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// Checks that a batch of a later pass has as many samples as in the first one.
    pub fn expect_size(&self, index: usize, found: usize) -> Result<(), ObjectiveError> {
        let expected = match self.sizes.get(index) {
            Some(size) if *size == found => return Ok(()),
            Some(size) => format!("{size} samples"),
            None => "its end".into(),
        };
        Err(ObjectiveError::StreamChanged {
            expected,
            found: format!("{found} samples in batch {index}"),
        })
    }
}

/// The batches of an objective.
pub(super) enum Parts<B: AutodiffBackend> {
    Kept(Arc<[Part<B>]>),
    Streamed(Arc<Stream<B>>),
}

impl<B: AutodiffBackend> Clone for Parts<B> {
    fn clone(&self) -> Self {
        match self {
            Parts::Kept(parts) => Parts::Kept(Arc::clone(parts)),
            Parts::Streamed(stream) => Parts::Streamed(Arc::clone(stream)),
        }
    }
}

impl<B: AutodiffBackend> fmt::Debug for Parts<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Parts::Kept(_) => "kept",
            Parts::Streamed(_) => "streamed",
        };
        write!(f, "{} batches, {kind}", self.len())
    }
}

impl<B: AutodiffBackend> Parts<B> {
    /// Number of batches.
    pub fn len(&self) -> usize {
        match self {
            Parts::Kept(parts) => parts.len(),
            Parts::Streamed(stream) => stream.sizes.len(),
        }
    }

    /// The weight of a batch of `samples` among `total` samples.
    pub fn weight(reduction: Reduction, samples: usize, total: usize) -> f64 {
        match reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => samples as f64 / total.max(1) as f64,
        }
    }
}

/// The number of samples in a batch: the size of the first dimension of its first tensor.
fn samples<B: AutodiffBackend>(batch: &[Operand<B::InnerBackend>]) -> usize {
    let first = batch.first().map(Operand::shape);
    first.and_then(|shape| shape.iter().next().copied()).unwrap_or(1)
}
