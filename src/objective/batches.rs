//! The batches of an objective, held or fetched again for every pass.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use burn_backend::AutodiffBackend;

use super::{
    ObjectiveError, Reduction,
    capturing::{Recorder, Structure},
    programs::ProgramSet,
    stream::Stream,
    values::Values,
};
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

/// What the closure states of the loss of a batch, by a [`Loss`](crate::capture::Loss).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stated {
    /// Nothing: the closure reduced it.
    Nothing,
    /// It is a sum over samples.
    Sum,
    /// It is what was recorded divided by this.
    Mean {
        /// Number of samples, or a weight.
        divisor: f64,
    },
}

impl Stated {
    pub fn reduction(self) -> Option<Reduction> {
        match self {
            Stated::Nothing => None,
            Stated::Sum => Some(Reduction::Sum),
            Stated::Mean { .. } => Some(Reduction::Mean),
        }
    }
}

/// One batch with its programs and its weight in ℒ.
pub(crate) struct Part<B: AutodiffBackend> {
    pub(super) programs: Arc<ProgramSet<B>>,
    pub(super) batch: Counted<B>,
    pub(super) stated: Stated,
    /// What the recorded loss is multiplied by.
    pub weight: f64,
    /// The point at which the recording last applied.
    applies_at: Mutex<Option<Arc<()>>>,
}

impl<B: AutodiffBackend> Part<B> {
    /// Brings the tensors to a precision and finds, or records, their programs. The weight is 1.
    #[inline(never)]
    pub(super) fn new(
        recorder: &Recorder<B>,
        values: &Values<B>,
        mut batch: Counted<B>,
    ) -> Result<Self, Error> {
        let device = values.device();
        for operand in &batch.operands {
            values.parameters.expect_device(&operand.device())?;
        }
        let dtype = values.precision().dtype();
        let operands = batch.operands.into_iter();
        batch.operands = operands.map(|operand| operand.stored_on(device, dtype)).collect();
        let programs = recorder.programs(values, &batch)?;
        // First, since guards may pick too.
        programs.expect_indices(|| values.inputs(&batch.operands))?;
        programs.guards().expect_on_batch(|| values.inputs(&batch.operands))?;
        let stated = programs.stated(|| values.inputs(&batch.operands))?;
        Ok(Self { programs, batch, stated, weight: 1.0, applies_at: Mutex::default() })
    }

    /// With the weight of a single batch.
    pub fn alone(self) -> Result<Self, ObjectiveError> {
        match self.stated {
            Stated::Mean { divisor: 0.0 } => Err(ObjectiveError::NoWeight),
            Stated::Mean { divisor } => Ok(self.weighted(divisor.recip())),
            Stated::Nothing | Stated::Sum => Ok(self),
        }
    }

    /// The same batch once more.
    pub(super) fn again(&self) -> Self {
        Self {
            programs: Arc::clone(&self.programs),
            batch: self.batch.clone(),
            applies_at: Mutex::default(),
            ..*self
        }
    }

    pub fn weighted(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// The c of c·Σₙ ℓₙ, as which the loss was recorded.
    pub fn share(&self, reduction: Reduction) -> f64 {
        match self.stated {
            Stated::Nothing => reduction.factor(self.samples_of_outputs()),
            Stated::Sum | Stated::Mean { .. } => 1.0,
        }
    }

    /// What is known of the batch without its tensors.
    pub(super) fn outline(&self) -> Outline<B> {
        let Counted { samples, supplied, .. } = self.batch;
        Outline { programs: Arc::clone(&self.programs), stated: self.stated, samples, supplied }
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

    /// The batch with other programs, and with more tensors for them.
    pub fn with_programs(
        &self,
        programs: Arc<ProgramSet<B>>,
        more: impl IntoIterator<Item = Operand<B::InnerBackend>>,
    ) -> Self {
        let (stated, weight, mut batch) = (self.stated, self.weight, self.batch.clone());
        batch.operands.extend(more);
        Self { programs, batch, stated, weight, applies_at: Mutex::default() }
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
    fn samples_of_outputs(&self) -> usize {
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
    pub structure: Structure,
    pub samples: usize,
    /// Whether the count came from [`Batch::samples`](crate::capture::Batch::samples).
    pub supplied: bool,
}

impl<B: AutodiffBackend> Counted<B> {
    pub fn new(operands: Operands<B>, structure: Structure, supplied: Option<usize>) -> Self {
        Self {
            samples: supplied.unwrap_or_else(|| samples::<B>(&operands)),
            supplied: supplied.is_some(),
            structure,
            operands,
        }
    }
}

/// What is known of a batch without its tensors.
pub(super) struct Outline<B: AutodiffBackend> {
    pub programs: Arc<ProgramSet<B>>,
    pub stated: Stated,
    pub samples: usize,
    /// Whether the number of samples came from [`Batch::samples`](crate::capture::Batch::samples).
    pub supplied: bool,
}

/// The batches of an objective.
#[derive(Clone)]
pub(super) enum Parts<B: AutodiffBackend> {
    Kept(Arc<[Part<B>]>),
    Streamed(Arc<Stream<B>>),
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
            Parts::Streamed(stream) => stream.batches.len(),
        }
    }
}

/// The number of samples in a batch: the size of the first dimension of its first tensor.
fn samples<B: AutodiffBackend>(batch: &[Operand<B::InnerBackend>]) -> usize {
    let first = batch.first().map(Operand::shape);
    first.and_then(|shape| shape.iter().next().copied()).unwrap_or(1)
}
