//! The programs of one recording on one backend, in one set of element types; derived when first asked for.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    hash::Hash,
    ops::Range,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use burn_backend::{AutodiffBackend, tensor::Device};

use super::{
    ObjectiveError, Reduction,
    batches::Stated,
    guards::GuardPrograms,
    indices::IndexCheck,
    samples::{Use, recorded_for},
    split_program::SplitProgram,
};
use crate::{
    capture::{Divisor, Recording},
    derive::{self, DeriveError, Kernels, Product, Terms},
    error::Error,
    execute::{Program, adapted, in_precision},
    graph::{Graph, ValueType},
    tensor::{Operand, Precision},
};

/// Loss, outputs, gradient and products of one recording.
pub(crate) struct ProgramSet<B: AutodiffBackend> {
    /// The loss in the precision it runs in.
    recording: Recording,
    precision: Precision,
    device: Device<B>,
    kernels: Kernels<B::InnerBackend>,
    on_device: OnceLock<Result<Graph, Error>>,
    loss: OnceLock<Result<Program<B::InnerBackend>, Error>>,
    outputs: OnceLock<Result<Program<B::InnerBackend>, Error>>,
    gradient: OnceLock<Result<Program<B::InnerBackend>, Error>>,
    products: Mutex<HashMap<Product, Arc<SplitProgram<B>>>>,
    /// A map from derivations to programs for each type of derivation.
    derived: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
    /// The programs that do something else with the losses of samples.
    uses: Mutex<HashMap<Use, Arc<ProgramSet<B>>>>,
    pub(super) guards: GuardPrograms<B>,
    pub(super) indices: Option<IndexCheck<B>>,
    /// Those that depend on the values of the model.
    pub(super) indices_at_model: Option<IndexCheck<B>>,
    terms: OnceLock<Terms>,
    /// The reduction that the program of another number of samples has shown.
    pub(super) shown: OnceLock<Reduction>,
    /// Whether the losses of its samples were found not to depend on each other.
    pub(super) own_losses: OnceLock<()>,
    weight: Divisor<OnceLock<Result<Program<B::InnerBackend>, Error>>>,
}

/// A program that others derive from a recorded loss: made once per recording and kept by the value of the derivation.
///
/// Its inputs are the recording's, then the noise that targets are drawn by, if any, then others of its own.
pub(crate) trait Derivation: Clone + Eq + Hash + Send + 'static {
    /// What else is known of the program.
    type Notes: Send + Sync + 'static;

    /// The program for a loss with a number of parameters.
    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, Self::Notes), Error>;
}

/// A derived program, ready to run.
pub(crate) struct Derived<B: AutodiffBackend, N> {
    pub program: Program<B::InnerBackend>,
    pub notes: N,
}

type DerivedPrograms<B, D> = HashMap<D, Arc<Derived<B, <D as Derivation>::Notes>>>;

impl<B: AutodiffBackend> ProgramSet<B> {
    pub fn new(
        mut recording: Recording,
        precision: Precision,
        device: Device<B>,
        kernels: Kernels<B::InnerBackend>,
    ) -> Result<Self, Error> {
        let guards = GuardPrograms::new(&recording, precision, &device, kernels)?;
        let of_model = (recording.parameters, recording.buffers);
        let indices = IndexCheck::new(&recording.graph, of_model, precision, &device, kernels)?;
        let indices_at_model =
            IndexCheck::at_model(&recording.graph, of_model, precision, &device, kernels)?;
        let weight = recording.divisor.as_ref().map(|_| OnceLock::new());
        recording.graph = in_precision(recording.graph, precision.dtype())?;
        Ok(Self {
            recording,
            precision,
            device,
            kernels,
            on_device: OnceLock::new(),
            loss: OnceLock::new(),
            outputs: OnceLock::new(),
            gradient: OnceLock::new(),
            products: Mutex::default(),
            derived: Mutex::default(),
            uses: Mutex::default(),
            guards,
            indices,
            indices_at_model,
            terms: OnceLock::new(),
            shown: OnceLock::new(),
            own_losses: OnceLock::new(),
            weight,
        })
    }

    /// What the loss is a sum of.
    pub(super) fn terms(&self) -> &Terms {
        self.terms.get_or_init(|| Terms::of(self.recorded(), self.batch_inputs()))
    }

    /// Which inputs are the batch.
    pub(super) fn batch_inputs(&self) -> Range<usize> {
        let Recording { parameters, buffers, .. } = self.recording;
        parameters..self.recorded().inputs().len().saturating_sub(buffers)
    }

    /// What the closure states that the loss is divided by, for given inputs.
    pub(super) fn stated(
        &self,
        inputs: impl FnOnce() -> Vec<Operand<B::InnerBackend>>,
    ) -> Result<Stated, Error> {
        let divisor = match &self.weight {
            Divisor::Unstated => return Ok(Stated::Nothing),
            Divisor::One => return Ok(Stated::Sum),
            Divisor::Count(count) => *count as f64,
            Divisor::Weight(program) => {
                let made = get(program, || match &self.recording.divisor {
                    Divisor::Weight(graph) => {
                        self.program(in_precision(graph.clone(), self.precision.dtype())?)
                    }
                    _ => Err(ObjectiveError::NoWeight.into()),
                });
                let weight = made?.run(inputs())?.into_iter().next();
                let data = weight.map(Operand::into_data).transpose()?;
                data.and_then(|data| data.iter::<f64>().next()).unwrap_or(f64::NAN)
            }
        };
        if !divisor.is_finite() || divisor < 0.0 {
            return Err(ObjectiveError::Weight { found: divisor.to_string() }.into());
        }
        Ok(Stated::Mean { divisor })
    }

    /// The same recording on another backend or device, or in another precision.
    pub fn converted<C: AutodiffBackend>(
        &self,
        precision: Precision,
        device: Device<C>,
        kernels: Kernels<C::InnerBackend>,
    ) -> Result<ProgramSet<C>, Error> {
        ProgramSet::new(self.recording.clone(), precision, device, kernels)
    }

    /// The programs that do something else with the losses of samples.
    pub(super) fn used(&self, purpose: Use) -> Result<Arc<Self>, Error> {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = uses.get(&purpose) {
            return Ok(Arc::clone(found));
        }
        let recording = recorded_for(&self.recording, purpose)?;
        let made = Self::new(recording, self.precision, self.device.clone(), self.kernels)?;
        let made = Arc::new(made);
        uses.insert(purpose, Arc::clone(&made));
        Ok(made)
    }

    pub fn kernels(&self) -> Kernels<B::InnerBackend> {
        self.kernels
    }

    pub fn device(&self) -> &Device<B> {
        &self.device
    }

    /// The loss as recorded.
    pub fn recorded(&self) -> &Graph {
        &self.recording.graph
    }

    /// Whether the loss or the outputs depend on one of the model's buffers.
    pub fn reads_buffer(&self, position: usize) -> bool {
        let (graph, inputs) = (self.recorded(), self.recorded().inputs());
        let first = inputs.len().saturating_sub(self.recording.buffers);
        let Some(&input) = inputs.get(first + position) else {
            return false;
        };
        let dependent = graph.dependents(&[input]);
        graph.outputs().iter().any(|output| dependent.contains(output))
    }

    /// How many random tensors of the closure were drawn once.
    pub fn draws(&self) -> usize {
        self.recording.draws
    }

    /// Type of the model's outputs.
    pub fn outputs_type(&self) -> Result<&ValueType, DeriveError> {
        let outputs = self.recorded().outputs().get(1);
        let &outputs = outputs.ok_or(DeriveError::NoOutputs)?;
        Ok(self.recorded().value(outputs))
    }

    /// The loss in the element types of the device, for the eager engine.
    pub fn on_device(&self) -> Result<&Graph, Error> {
        get(&self.on_device, || {
            Ok(adapted::<B::InnerBackend>(self.recorded().clone(), &self.device)?)
        })
    }

    pub fn loss(&self) -> Result<&Program<B::InnerBackend>, Error> {
        get(&self.loss, || self.program(self.forward(0)?))
    }

    pub fn outputs(&self) -> Result<&Program<B::InnerBackend>, Error> {
        get(&self.outputs, || {
            self.outputs_type()?;
            self.program(self.forward(1)?)
        })
    }

    /// One output of the loss program: as recorded in f32, and in f64 in the forms that derivatives are computed from,
    /// since some backends compute a sigmoid and its like in f32 whatever they are asked for.
    fn forward(&self, output: usize) -> Result<Graph, Error> {
        let graph = match self.precision {
            Precision::F32 => self.recorded().clone(),
            Precision::F64 => derive::gradient(self.recorded(), self.recording.parameters)?,
        };
        Ok(graph.returning(graph.outputs()[output..=output].to_vec()))
    }

    pub fn gradient(&self) -> Result<&Program<B::InnerBackend>, Error> {
        get(&self.gradient, || {
            self.program(derive::gradient(self.recorded(), self.recording.parameters)?)
        })
    }

    pub fn product(&self, kind: Product) -> Result<Arc<SplitProgram<B>>, Error> {
        let mut products = self.products.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = products.get(&kind) {
            return Ok(Arc::clone(found));
        }
        let split = derive::product(kind, self.recorded(), self.recording.parameters)?;
        let (prepare, finish) = (self.program(split.prepare)?, self.program(split.finish)?);
        let made = Arc::new(SplitProgram::new(prepare, finish));
        products.insert(kind, Arc::clone(&made));
        Ok(made)
    }

    /// The program of a derivation.
    pub fn derived<D: Derivation>(
        &self,
        derivation: &D,
    ) -> Result<Arc<Derived<B, D::Notes>>, Error> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = || -> Box<dyn Any + Send> { Box::new(DerivedPrograms::<B, D>::new()) };
        let programs = derived.entry(TypeId::of::<D>()).or_insert_with(empty);
        let mut programs = programs.downcast_mut::<DerivedPrograms<B, D>>();
        if let Some(found) = programs.as_ref().and_then(|programs| programs.get(derivation)) {
            return Ok(Arc::clone(found));
        }
        let (graph, notes) = derivation.derive(self.recorded(), self.recording.parameters)?;
        let made = Arc::new(Derived { program: self.program(graph)?, notes });
        if let Some(programs) = &mut programs {
            programs.insert(derivation.clone(), Arc::clone(&made));
        }
        Ok(made)
    }

    fn program(&self, graph: Graph) -> Result<Program<B::InnerBackend>, Error> {
        Ok(Program::new(graph, &self.device, self.kernels.apply)?)
    }
}

fn get<T>(
    cell: &OnceLock<Result<T, Error>>,
    make: impl FnOnce() -> Result<T, Error>,
) -> Result<&T, Error> {
    cell.get_or_init(make).as_ref().map_err(Clone::clone)
}
