//! The programs of one recording on one backend, in one set of element types; derived when first asked for.

use std::sync::OnceLock;

use burn_backend::{AutodiffBackend, tensor::Device};

use crate::{
    derive,
    error::Error,
    execute::{Program, in_precision},
    graph::Graph,
    params::Precision,
    trace::Recording,
};

/// Loss, gradient and Hessian product of one recording.
pub(super) struct ProgramSet<B: AutodiffBackend> {
    /// The loss in the precision it runs in.
    recording: Recording,
    device: Device<B>,
    loss: OnceLock<Result<Program<B::InnerBackend>, Error>>,
    gradient: OnceLock<Result<Program<B::InnerBackend>, Error>>,
    hessian: OnceLock<Result<SplitProgram<B>, Error>>,
}

/// A program in two parts: what runs once per (θ, batch), and what runs per vector.
pub(super) struct SplitProgram<B: AutodiffBackend> {
    pub prepare: Program<B::InnerBackend>,
    pub finish: Program<B::InnerBackend>,
}

impl<B: AutodiffBackend> ProgramSet<B> {
    pub fn new(
        mut recording: Recording,
        precision: Precision,
        device: Device<B>,
    ) -> Result<Self, Error> {
        recording.graph = in_precision(recording.graph, precision.dtype())?;
        Ok(Self {
            recording,
            device,
            loss: OnceLock::new(),
            gradient: OnceLock::new(),
            hessian: OnceLock::new(),
        })
    }

    pub fn device(&self) -> &Device<B> {
        &self.device
    }

    /// The loss as recorded.
    pub fn recorded(&self) -> &Graph {
        &self.recording.graph
    }

    pub fn loss(&self) -> Result<&Program<B::InnerBackend>, Error> {
        get(&self.loss, || self.program(self.recording.graph.clone()))
    }

    pub fn gradient(&self) -> Result<&Program<B::InnerBackend>, Error> {
        get(&self.gradient, || {
            self.program(derive::gradient(
                &self.recording.graph,
                self.recording.parameters,
            )?)
        })
    }

    pub fn hessian(&self) -> Result<&SplitProgram<B>, Error> {
        get(&self.hessian, || {
            let split =
                derive::hessian_vector_product(&self.recording.graph, self.recording.parameters)?;
            Ok(SplitProgram {
                prepare: self.program(split.prepare)?,
                finish: self.program(split.finish)?,
            })
        })
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
