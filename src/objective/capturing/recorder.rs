//! The recordings made so far, by the types of the batch, and their programs, by the precision too.

use std::{
    any::Any,
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use burn::{backend::DispatchTensor, tensor::Gradients};
use burn_backend::{AutodiffBackend, Backend, TensorMetadata};

use super::{
    source::{ModelType, Source},
    structure::{Structure, taken_apart},
};
use crate::{
    capture::{Batch, CaptureError, Recording, is_recording},
    derive::{Kernels, ProgramBackend},
    error::Error,
    execute::{RECORDED_BOOL, RECORDED_FLOAT, RECORDED_INT},
    graph::{Graph, ValueType},
    objective::{
        BatchError, ObjectiveError, batches::Counted, guards, indices::IndexCheck,
        programs::ProgramSet, values::Values,
    },
    tensor::{Operand, Precision, TensorBridge},
};

/// Structure of the batch, types of its tensors, and the precision.
type ProgramKey = (Structure, Vec<ValueType>, Precision);

/// A recording with the structure and the types of the batch that it is for.
type RecordedFor = (Structure, Vec<ValueType>, Arc<Recording>);

/// The recordings and programs made so far.
pub(crate) struct Recorder<B: AutodiffBackend> {
    /// The structure of the captured batch.
    captured: Structure,
    model: ModelType,
    kernels: Kernels<B::InnerBackend>,
    source: Mutex<Box<dyn Source>>,
    /// In the order in which they were made. One recording serves all precisions.
    recordings: Mutex<Vec<RecordedFor>>,
    programs: Mutex<HashMap<ProgramKey, Arc<ProgramSet<B>>>>,
}

impl<B: AutodiffBackend> Recorder<B>
where
    B::InnerBackend: ProgramBackend,
{
    /// A recorder for batches like a captured one.
    pub(super) fn new<X: Batch>(batch: &X, source: Box<dyn Source>) -> Self {
        Self::of(taken_apart(batch.clone()).0, batch, source)
    }

    #[inline(never)]
    fn of(captured: Structure, batch: &dyn Any, mut source: Box<dyn Source>) -> Self {
        source.learn(&captured, batch);
        Self {
            captured,
            model: source.model(),
            kernels: Kernels::of(),
            source: Mutex::new(source),
            recordings: Mutex::default(),
            programs: Mutex::new(HashMap::new()),
        }
    }
}

impl<B: AutodiffBackend> Recorder<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The tensors of a batch, and its number of samples.
    pub(in crate::objective) fn counted<X: Batch>(&self, batch: X) -> Result<Counted<B>, Error> {
        let samples = batch.samples();
        self.known(taken_apart(batch.clone()), &batch, samples)
    }

    #[inline(never)]
    fn known(
        &self,
        (structure, tensors): (Structure, Vec<DispatchTensor>),
        batch: &dyn Any,
        samples: Option<usize>,
    ) -> Result<Counted<B>, Error> {
        if structure != self.captured && !available(&self.source)?.learn(&structure, batch) {
            let difference = structure.compared_with(&self.captured);
            return Err(BatchError::Other { difference }.into());
        }
        Ok(Counted::new(operands::<B>(tensors)?, structure, samples))
    }
}

/// The tensors of a batch on the typed backend.
fn operands<B: AutodiffBackend>(
    tensors: Vec<DispatchTensor>,
) -> Result<Vec<Operand<B::InnerBackend>>, Error>
where
    B::InnerBackend: TensorBridge,
{
    for (position, tensor) in tensors.iter().enumerate() {
        if tensor.shape().num_elements() == 0 {
            let shape = tensor.shape().to_vec();
            return Err(BatchError::Empty { position, shape }.into());
        }
    }
    let typed = tensors.into_iter().map(<B::InnerBackend as TensorBridge>::from_dispatch);
    Ok(typed.collect::<Result<_, _>>()?)
}

impl<B: AutodiffBackend> Recorder<B> {
    /// Refuses a model of another type than the one captured.
    pub(in crate::objective) fn expect_type<M: 'static>(&self) -> Result<(), ObjectiveError> {
        self.expect(ModelType::of::<M>())
    }

    #[inline(never)]
    fn expect(&self, found: ModelType) -> Result<(), ObjectiveError> {
        if found.id == self.model.id {
            return Ok(());
        }
        Err(ObjectiveError::OtherModel { expected: self.model.name, found: found.name })
    }

    /// Whether a recording depends on one of the model's buffers.
    pub(in crate::objective) fn reads_buffer(
        &self,
        position: usize,
    ) -> Result<bool, ObjectiveError> {
        let programs = available(&self.programs)?;
        Ok(programs.values().any(|programs| programs.reads_buffer(position)))
    }

    /// The loss and Burn's gradients of a model as it is.
    #[inline(never)]
    pub(in crate::objective) fn backward(
        &self,
        model: &dyn Any,
        batch: Box<dyn Any>,
    ) -> Result<(f64, Gradients), Error> {
        available(&self.source)?.backward(model, batch)
    }
}

impl<B: AutodiffBackend> Recorder<B> {
    pub(in crate::objective) fn programs(
        &self,
        values: &Values<B>,
        batch: &Counted<B>,
    ) -> Result<Arc<ProgramSet<B>>, Error> {
        let (precision, device) = (values.precision(), values.device());
        let recorded: Vec<_> = batch.operands.iter().map(recorded_type).collect();
        let key = (batch.structure.clone(), recorded, precision);
        let mut programs = available(&self.programs)?;
        if let Some(found) = programs.get(&key) {
            return Ok(Arc::clone(found));
        }
        let recording = (*self.recording((&key.0, &key.1), values, &batch.operands)?).clone();
        let made = Arc::new(ProgramSet::new(recording, precision, device.clone(), self.kernels)?);
        programs.insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// The recording for batches of the given types, of which `batch` is one.
    ///
    /// Before a second one is made, the first is made again: a closure whose state has changed since then, or changes
    /// from call to call, is not the loss that was captured.
    fn recording(
        &self,
        (structure, types): (&Structure, &[ValueType]),
        values: &Values<B>,
        batch: &[Operand<B::InnerBackend>],
    ) -> Result<Arc<Recording>, Error> {
        let mut recordings = available(&self.recordings)?;
        let mut known = recordings.iter();
        if let Some((.., found)) = known.find(|(s, t, _)| s == structure && t == types) {
            return Ok(Arc::clone(found));
        }
        let source = available(&self.source)?;
        if let Some((structure, types, first)) = recordings.first() {
            let read = &first.guards.expected;
            let same_truths =
                |graph: &Graph| Ok(read[..graph.outputs.len().min(read.len())].to_vec());
            let again = source.record((structure, types), &same_truths)?;
            if let Some(difference) = first.difference(&again) {
                return Err(CaptureError::ClosureChanged { difference }.into());
            }
        }
        let (precision, device) = (values.precision(), values.device());
        let (inputs, kernels) = (|| values.inputs(batch), self.kernels);
        let of_model = (values.parameters.blocks().len(), values.buffers.values().len());
        let true_last = RefCell::new(None);
        let truths = |graph: &Graph| {
            if let Some(check) = IndexCheck::<B>::new(graph, of_model, precision, device, kernels)?
            {
                check.expect(inputs)?;
            }
            let found = guards::truths::<B>(graph, precision, device, kernels, inputs())?;
            true_last.replace((found.last() == Some(&true)).then(|| graph.clone()));
            Ok(found)
        };
        let made = source.record((structure, types), &truths);
        if let (Err(error), Some(graph)) = (&made, true_last.take())
            && refused_by_one_hot(error)
            && let Some(check) = IndexCheck::<B>::of_one_hot(&graph, precision, device, kernels)?
        {
            check.expect(inputs)?;
        }
        let made = Arc::new(made?);
        recordings.push((structure.clone(), types.to_vec(), Arc::clone(&made)));
        Ok(made)
    }
}

/// Whether a closure panicked because Burn's `one_hot` found a label that is no class.
fn refused_by_one_hot(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(CaptureError::Panicked { message }) if message.contains("one hot tensor"))
}

/// Locks, unless the closure that is being recorded asks for a lock that its own recording holds.
fn available<T>(shared: &Mutex<T>) -> Result<MutexGuard<'_, T>, ObjectiveError> {
    if !is_recording() {
        return Ok(shared.lock().unwrap_or_else(PoisonError::into_inner));
    }
    match shared.try_lock() {
        Ok(free) => Ok(free),
        Err(TryLockError::Poisoned(free)) => Ok(free.into_inner()),
        Err(TryLockError::WouldBlock) => Err(ObjectiveError::Nested),
    }
}

/// The type an operand is recorded as.
fn recorded_type<B: Backend>(operand: &Operand<B>) -> ValueType {
    let dtype = match operand {
        Operand::Float(_) => RECORDED_FLOAT,
        Operand::Int(_) => RECORDED_INT,
        Operand::Bool(_) => RECORDED_BOOL,
    };
    ValueType { shape: operand.shape(), dtype }
}
