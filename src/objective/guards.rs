//! Whether the truth values that a closure read when it was recorded are the same on another batch and at other parameters.

use burn_backend::{AutodiffBackend, tensor::Device};

use super::ObjectiveError;
use crate::{
    capture::{Guards, Recording},
    derive::Kernels,
    error::Error,
    execute::{Program, in_precision},
    graph::Graph,
    tensor::{Operand, Precision},
};

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

/// The guards of a recording: those that depend on the batch alone, and those on the values of the model.
pub(super) struct GuardPrograms<B: AutodiffBackend> {
    of_batch: Option<GuardProgram<B>>,
    of_model: Option<GuardProgram<B>>,
}

struct GuardProgram<B: AutodiffBackend> {
    program: Program<B::InnerBackend>,
    expected: Vec<bool>,
    /// Of each among all that were read.
    positions: Vec<usize>,
}

impl<B: AutodiffBackend> GuardPrograms<B> {
    pub fn new(
        recording: &Recording,
        precision: Precision,
        device: &Device<B>,
        kernels: Kernels<B::InnerBackend>,
    ) -> Result<Self, Error> {
        let guards = &recording.guards;
        let inputs = guards.graph.inputs.iter().copied();
        let buffers = inputs.clone().rev().take(recording.buffers);
        let of_model: Vec<_> = inputs.take(recording.parameters).chain(buffers).collect();
        let dependent = guards.graph.dependents(&of_model);
        let outputs = &guards.graph.outputs;
        let depends = |at: usize| outputs.get(at).is_some_and(|it| dependent.contains(it));
        let make = |chosen: Option<(Guards, Vec<usize>)>| {
            let made = chosen.map(|(guards, positions)| {
                Ok::<_, Error>(GuardProgram {
                    program: program::<B>(&guards.graph, precision, device, kernels)?,
                    expected: guards.expected,
                    positions,
                })
            });
            made.transpose()
        };
        Ok(Self {
            of_batch: make(guards.chosen(|at| !depends(at)))?,
            of_model: make(guards.chosen(depends))?,
        })
    }

    /// Whether some guards depend on the values of the model.
    pub fn depend_on_model(&self) -> bool {
        self.of_model.is_some()
    }

    /// Refuses values of the model at which the closure would go another way.
    pub fn expect_at_model(&self, inputs: impl Fn() -> Operands<B>) -> Result<(), Error> {
        self.of_model.as_ref().map_or(Ok(()), |guards| guards.expect(inputs()))
    }

    /// Refuses a batch on which the closure would go another way whatever the model.
    pub fn expect_on_batch(&self, inputs: impl Fn() -> Operands<B>) -> Result<(), Error> {
        self.of_batch.as_ref().map_or(Ok(()), |guards| guards.expect(inputs()))
    }
}

impl<B: AutodiffBackend> GuardProgram<B> {
    fn expect(&self, inputs: Operands<B>) -> Result<(), Error> {
        let found = read(self.program.run(inputs)?)?;
        let mut compared = self.expected.iter().zip(&found).zip(&self.positions);
        match compared.find(|((expected, found), _)| expected != found) {
            Some(((&expected, _), &position)) => {
                Err(ObjectiveError::OtherTruth { position, expected }.into())
            }
            None => Ok(()),
        }
    }
}

/// The truth values that a program computes.
pub(super) fn truths<B: AutodiffBackend>(
    graph: &Graph,
    precision: Precision,
    device: &Device<B>,
    kernels: Kernels<B::InnerBackend>,
    inputs: Operands<B>,
) -> Result<Vec<bool>, Error> {
    read(program::<B>(graph, precision, device, kernels)?.run(inputs)?)
}

fn program<B: AutodiffBackend>(
    graph: &Graph,
    precision: Precision,
    device: &Device<B>,
    kernels: Kernels<B::InnerBackend>,
) -> Result<Program<B::InnerBackend>, Error> {
    let graph = in_precision(graph.clone(), precision.dtype())?;
    Ok(Program::new(graph, device, kernels.apply)?)
}

fn read<I: burn_backend::Backend>(values: Vec<Operand<I>>) -> Result<Vec<bool>, Error> {
    let mut truths = Vec::with_capacity(values.len());
    for value in values {
        truths.extend(value.into_data()?.iter::<bool>());
    }
    Ok(truths)
}
