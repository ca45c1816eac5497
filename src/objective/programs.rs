//! The programs of one recording on one backend, in one set of element types; derived when first asked for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use burn_backend::{AutodiffBackend, tensor::Device};

use super::guards::GuardPrograms;
use crate::{
    capture::Recording,
    derive::{self, DeriveError, FactorKind, LayerGroup, Layers, Product},
    error::Error,
    execute::{Program, adapted, in_precision},
    graph::{Graph, ValueType},
    tensor::Precision,
};

/// Loss, outputs, gradient and products of one recording.
pub(crate) struct ProgramSet<B: AutodiffBackend> {
    /// The loss in the precision it runs in.
    recording: Recording,
    precision: Precision,
    device: Device<B>,
    on_device: OnceLock<Result<Graph, Error>>,
    loss: OnceLock<Result<Program<B::InnerBackend>, Error>>,
    outputs: OnceLock<Result<Program<B::InnerBackend>, Error>>,
    gradient: OnceLock<Result<Program<B::InnerBackend>, Error>>,
    products: Mutex<HashMap<Product, Arc<SplitProgram<B>>>>,
    layers: OnceLock<(Layers, Arc<[LayerGroup]>)>,
    factors: Mutex<HashMap<FactorProgram, Arc<Program<B::InnerBackend>>>>,
    guards: GuardPrograms<B>,
}

/// What a program of factors returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FactorResults {
    /// Second moments.
    Moments,
    /// The loss, its gradient, then the moments.
    WithGradient,
    /// Diagonals in bases that are handed in.
    Diagonals,
}

type FactorProgram = (FactorKind, FactorResults);

/// A program in two parts: what runs once per (θ, batch), and what runs per vector.
pub(crate) struct SplitProgram<B: AutodiffBackend> {
    pub prepare: Program<B::InnerBackend>,
    pub finish: Program<B::InnerBackend>,
}

impl<B: AutodiffBackend> SplitProgram<B> {
    /// Memory that the results of `prepare` take, beside what they share with its inputs.
    pub fn kept_bytes(&self) -> usize {
        let graph = self.prepare.graph();
        let mut counted: Vec<_> = graph.inputs().to_vec();
        let mut bytes = 0;
        for &value in graph.outputs() {
            if !counted.contains(&value) {
                counted.push(value);
                let ty = graph.value(value);
                bytes += ty.shape.num_elements() * ty.dtype.size();
            }
        }
        bytes
    }
}

impl<B: AutodiffBackend> ProgramSet<B> {
    pub fn new(
        mut recording: Recording,
        precision: Precision,
        device: Device<B>,
    ) -> Result<Self, Error> {
        let guards = GuardPrograms::new(&recording, precision, &device)?;
        recording.graph = in_precision(recording.graph, precision.dtype())?;
        Ok(Self {
            recording,
            precision,
            device,
            on_device: OnceLock::new(),
            loss: OnceLock::new(),
            outputs: OnceLock::new(),
            gradient: OnceLock::new(),
            products: Mutex::default(),
            layers: OnceLock::new(),
            factors: Mutex::default(),
            guards,
        })
    }

    /// What must be so for the recording to apply.
    pub(super) fn guards(&self) -> &GuardPrograms<B> {
        &self.guards
    }

    pub fn device(&self) -> &Device<B> {
        &self.device
    }

    /// The loss as recorded.
    pub fn recorded(&self) -> &Graph {
        &self.recording.graph
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
        let made = Arc::new(SplitProgram {
            prepare: self.program(split.prepare)?,
            finish: self.program(split.finish)?,
        });
        products.insert(kind, Arc::clone(&made));
        Ok(made)
    }

    /// The layers of the network, and their uses by weight.
    pub fn layers(&self) -> &(Layers, Arc<[LayerGroup]>) {
        self.layers.get_or_init(|| {
            let layers = Layers::of(self.recorded(), self.recording.parameters);
            let groups = LayerGroup::all(self.recorded(), &layers.layers);
            (layers, groups.into())
        })
    }

    /// A program of Kronecker factors.
    pub fn factors(
        &self,
        kind: FactorKind,
        results: FactorResults,
    ) -> Result<Arc<Program<B::InnerBackend>>, Error> {
        let mut factors = self.factors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = factors.get(&(kind, results)) {
            return Ok(Arc::clone(found));
        }
        let (graph, own) = (self.recorded(), self.recording.parameters);
        let groups = &self.layers().1;
        let program = match results {
            FactorResults::Diagonals => derive::kronecker_diagonals(kind, graph, own, groups)?,
            FactorResults::Moments | FactorResults::WithGradient => {
                let with_gradient = results == FactorResults::WithGradient;
                derive::kronecker_factors(kind, with_gradient, graph, own, groups)?
            }
        };
        let made = Arc::new(self.program(program)?);
        factors.insert((kind, results), Arc::clone(&made));
        Ok(made)
    }

    fn program(&self, graph: Graph) -> Result<Program<B::InnerBackend>, Error> {
        Ok(Program::new(graph, &self.device)?)
    }
}

fn get<T>(
    cell: &OnceLock<Result<T, Error>>,
    make: impl FnOnce() -> Result<T, Error>,
) -> Result<&T, Error> {
    cell.get_or_init(make).as_ref().map_err(Clone::clone)
}
