//! Runs programs on tensors in this process's memory: those of Flex, also behind `Dispatch`.
//!
//! A backend runs one operation after another, each in a pass over memory of its own and with a result in memory of its
//! own. Here operations element by element run in one pass ([`plan`] finds them, [`chain`] compiles them, [`block`] runs
//! them), matrix products and convolutions of images are faer's, written where they are added ([`product`],
//! [`convolution`]), and memory serves again ([`memory`]). All other operations are the backend's. Results are the same to
//! rounding.

mod absorb;
mod access;
mod block;
mod chain;
mod convolution;
mod elements;
mod functions;
mod gradient;
mod indexing;
mod kept;
#[cfg(feature = "ndarray")]
#[allow(deprecated)] // Burn 0.22 still ships NdArray.
mod lent;
mod lifetimes;
mod lines;
mod memory;
mod movement;
mod number;
mod patches;
mod plan;
mod pool;
mod product;
mod run;
mod symmetric;
#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests;

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use burn_backend::{Backend, tensor::Device};
use burn_flex::FlexTensor;

use super::{ExecuteError, Operand, program::describe};
#[cfg(feature = "ndarray")]
use crate::tensor::spare;
use crate::{
    graph::{Graph, GraphError, Kind, ValueId, ValueType},
    panics::caught,
    parallel::on_threads,
};
pub(super) use access::is_host;
use kept::Room;
#[cfg(feature = "ndarray")]
pub(super) use lent::{is_lent, lent};
use plan::{Step, Work};
use run::Run;

/// Additions from which on a run is worth entering the threads' pool, where sharing work costs less.
const LARGE: usize = 1 << 20;

/// How a graph is run on this backend.
pub(super) struct HostProgram {
    steps: Vec<Step>,
    /// Per operation: types of its results.
    results: Vec<Vec<ValueType>>,
    kinds: Vec<Kind>,
    /// Where the values that are used are kept, by their indices.
    slots: Vec<usize>,
    /// How many such places there are.
    used: usize,
    constants: Vec<(ValueId, FlexTensor)>,
    /// Per output: whether the value is not returned again.
    last_outputs: Vec<bool>,
    /// Bytes alive at most.
    peak: usize,
    /// What it needs beyond what is held for any program.
    room: Option<Room>,
    /// Per value: whether a result that is written here has as many bytes. Other memory is of no use, and goes back to the
    /// system.
    serves: Vec<bool>,
    /// Whether there is work for all threads.
    is_large: bool,
    /// Whether the tensors are those of NdArray, which are handed over and back.
    #[cfg(feature = "ndarray")]
    is_lent: bool,
}

/// What a program returned, or its inputs if one of them lies elsewhere.
pub(super) type Attempt<B> = Result<Result<Vec<Operand<B>>, ExecuteError>, Vec<Operand<B>>>;

impl HostProgram {
    /// The steps of a graph with its constants, if the tensors of the device lie in this process's memory; on NdArray if the
    /// program convolves.
    pub fn new<B: Backend>(
        graph: &Graph,
        constants: &[(ValueId, Operand<B>)],
        device: &Device<B>,
    ) -> Option<Self> {
        #[cfg(feature = "ndarray")]
        if lent::is_lent_whole::<B>(graph, device) {
            let copies = constants.iter().map(|(value, operand)| {
                let copy = lent::copied(operand)?;
                Some((*value, copy))
            });
            let copies = copies.collect::<Option<Vec<_>>>()?;
            return Some(Self { is_lent: true, ..Self::planned(graph, copies) });
        }
        if !is_host::<B>(device) {
            return None;
        }
        let constants = constants
            .iter()
            .map(|(value, operand)| Some((*value, access::unwrapped(operand.clone())?)))
            .collect::<Option<Vec<_>>>()?;
        Some(Self::planned(graph, constants))
    }

    #[inline(never)]
    fn planned(graph: &Graph, constants: Vec<(ValueId, FlexTensor)>) -> Self {
        let (steps, enough) = plan::steps(graph);
        let types = graph.nodes.iter().map(|node| {
            let types = node.outputs.iter().map(|&value| graph.value(value));
            types.cloned().collect()
        });
        let given = graph.inputs.iter().chain(&graph.outputs);
        let given = given.chain(constants.iter().map(|(value, _)| value));
        let written = graph.nodes.iter().flat_map(|node| node.inputs.iter().chain(&node.outputs));
        let (mut slots, mut used) = (vec![usize::MAX; graph.values.len()], 0);
        for value in given.chain(written) {
            let slot = &mut slots[value.index()];
            if *slot == usize::MAX {
                *slot = used;
                used += 1;
            }
        }
        let work = steps.iter().map(|step| match &step.work {
            Work::Chain(chain) => chain.len,
            Work::Operation(_) | Work::Product(_) => 0,
        });
        let wanted = steps.iter().flat_map(|step| step.own_results(graph));
        let wanted: HashSet<usize> = wanted.collect();
        let peak = steps.iter().map(|step| step.alive).max().unwrap_or(0);
        Self {
            is_large: work.sum::<usize>() + graph.multiply_adds() >= LARGE,
            peak,
            room: Room::of(enough.min(2 * peak)),
            serves: graph.values.iter().map(|value| wanted.contains(&value.bytes())).collect(),
            results: types.collect(),
            last_outputs: graph.last_outputs(),
            kinds: graph.values.iter().map(ValueType::kind).collect(),
            slots,
            used,
            steps,
            constants,
            #[cfg(feature = "ndarray")]
            is_lent: false,
        }
    }

    /// Runs the program on inputs that have been checked, the first of them lent. Returns the others if one of them lies
    /// elsewhere.
    #[cfg_attr(not(feature = "ndarray"), allow(unused_variables))]
    pub fn run<B: Backend>(
        &self,
        graph: &Graph,
        lent: &[Operand<B>],
        inputs: Vec<Operand<B>>,
        device: &Device<B>,
    ) -> Attempt<B> {
        #[cfg(feature = "ndarray")]
        if self.is_lent {
            return self.run_on_copies(graph, lent, inputs, device);
        }
        if !inputs.iter().all(access::is_wrapped) {
            return Err(inputs);
        }
        let Some(lent) = lent.iter().map(access::lent).collect::<Option<Vec<&FlexTensor>>>() else {
            return Err(inputs);
        };
        let inputs: Vec<FlexTensor> = inputs.into_iter().filter_map(access::unwrapped).collect();
        Ok(self.guarded(graph, &lent, inputs).and_then(|outputs| {
            let wrapped = outputs.into_iter().zip(&graph.outputs).map(|(tensor, &value)| {
                let kind = self.kinds[value.index()];
                access::wrapped(tensor, kind).ok_or_else(|| undefined(value, "the outputs".into()))
            });
            wrapped.collect()
        }))
    }

    /// The same on tensors of NdArray.
    #[cfg(feature = "ndarray")]
    fn run_on_copies<B: Backend>(
        &self,
        graph: &Graph,
        kept: &[Operand<B>],
        inputs: Vec<Operand<B>>,
        device: &Device<B>,
    ) -> Attempt<B> {
        let copied = |operands: &[Operand<B>]| -> Option<Vec<FlexTensor>> {
            operands.iter().map(lent::copied).collect()
        };
        let (Some(kept), Some(own)) = (copied(kept), copied(&inputs)) else { return Err(inputs) };
        let outputs = self.guarded(graph, &kept.iter().collect::<Vec<_>>(), own);
        kept.into_iter().for_each(spare::leave);
        Ok(outputs.and_then(|outputs| {
            outputs.into_iter().map(|tensor| lent::returned(tensor, device)).collect()
        }))
    }

    /// Runs with panics turned into errors that name the operation, in the threads' pool if there is enough to do.
    #[inline(never)]
    fn guarded(
        &self,
        graph: &Graph,
        lent: &[&FlexTensor],
        inputs: Vec<FlexTensor>,
    ) -> Result<Vec<FlexTensor>, ExecuteError> {
        let current = AtomicUsize::new(0);
        let run = || {
            caught(|| self.outputs(graph, (lent, inputs), &current)).unwrap_or_else(|message| {
                let operation = describe(graph, current.load(Ordering::Relaxed));
                Err(ExecuteError::Backend { operation, message })
            })
        };
        if self.is_large { on_threads(run) } else { run() }
    }

    fn outputs(
        &self,
        graph: &Graph,
        (lent, inputs): (&[&FlexTensor], Vec<FlexTensor>),
        current: &AtomicUsize,
    ) -> Result<Vec<FlexTensor>, ExecuteError> {
        let given = graph.inputs.iter().skip(lent.len()).copied().zip(inputs);
        let lent = graph.inputs.iter().copied().zip(lent.iter().copied());
        let constants = self.constants.iter().map(|(value, tensor)| (*value, tensor));
        let mut run = Run::new(self, graph, lent.chain(constants), given);
        self.steps.iter().try_for_each(|step| {
            current.store(step.node, Ordering::Relaxed);
            run.step(step)
        })?;
        run.finish()
    }
}

fn undefined(value: ValueId, user: String) -> ExecuteError {
    ExecuteError::Graph(GraphError::Undefined { value: value.index(), user })
}
