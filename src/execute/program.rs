//! Runs graphs: values live in slots, and each is moved out at its last use.

use std::cell::Cell;

use burn_backend::{Backend, tensor::Device};

#[cfg(feature = "flex")]
use super::host::HostProgram;
use super::{ExecuteError, Operand, adapted, dispatch::Apply, precision::stored_as};
use crate::{
    graph::{Graph, GraphError, Kind, Node, Op, ValueId, ValueType},
    panics::caught,
};

/// A graph made ready for many runs on one device: checked, its constants uploaded, its last uses known.
pub(crate) struct Program<B: Backend> {
    graph: Graph,
    plan: Plan,
    constants: Vec<(ValueId, Operand<B>)>,
    device: Device<B>,
    apply: Apply<B>,
    #[cfg(feature = "flex")]
    host: Option<HostProgram>,
}

impl<B: Backend> Program<B> {
    /// Checks the graph, brings it to the element types the device has and uploads its constants. `apply` runs each
    /// operation.
    ///
    /// # Errors
    /// [`ExecuteError::Graph`] for a graph that is not well formed, [`ExecuteError::Precision`] for a float type that
    /// the device lacks.
    pub fn new(graph: Graph, device: &Device<B>, apply: Apply<B>) -> Result<Self, ExecuteError> {
        graph.validate()?;
        let graph = adapted::<B>(graph, device)?;
        let constants = upload(&graph, device)?;
        Ok(Self {
            #[cfg(feature = "flex")]
            host: HostProgram::new(&graph, &constants, device),
            plan: Plan::new(&graph),
            constants,
            device: device.clone(),
            graph,
            apply,
        })
    }

    /// Runs the program: inputs in the order of the graph's inputs, results in the order of its outputs.
    ///
    /// # Errors
    /// Wrong number, shape or element type of the inputs; a failure of the backend, with the operation's name.
    pub fn run(&self, inputs: Vec<Operand<B>>) -> Result<Vec<Operand<B>>, ExecuteError> {
        self.run_beside(&[], inputs)
    }

    /// The same, with the first inputs kept by the caller.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_beside(
        &self,
        kept: &[Operand<B>],
        inputs: Vec<Operand<B>>,
    ) -> Result<Vec<Operand<B>>, ExecuteError> {
        check_inputs(&self.graph, kept.iter().chain(&inputs))?;
        #[cfg(feature = "flex")]
        let inputs = match self.run_on_host(kept, inputs) {
            Ok(outputs) => return outputs,
            Err(inputs) => inputs,
        };
        let inputs = kept.iter().cloned().chain(inputs).collect();
        let slots = Slots::new(&self.graph, &self.plan, inputs, self.constants.clone());
        guarded(&self.graph, &self.plan, slots, &self.device, self.apply)
    }

    /// Runs on tensors in this process's memory; returns the inputs if they lie elsewhere.
    #[cfg(feature = "flex")]
    fn run_on_host(&self, kept: &[Operand<B>], inputs: Vec<Operand<B>>) -> super::host::Attempt<B> {
        match &self.host {
            Some(host) => host.run(&self.graph, kept, inputs, &self.device),
            None => Err(inputs),
        }
    }

    /// Another graph, on the same device and with the same operations.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_graph(&self, graph: Graph) -> Result<Self, ExecuteError> {
        Self::new(graph, &self.device, self.apply)
    }

    /// The graph that is run.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where it runs.
    pub fn device(&self) -> &Device<B> {
        &self.device
    }
}

/// Runs a graph once, with `apply` to run each operation. Element types are taken as they are.
///
/// # Errors
/// As [`Program::new`] and [`Program::run`], and those of `apply`.
pub(crate) fn replay<B: Backend, E: From<ExecuteError>>(
    graph: &Graph,
    device: &Device<B>,
    inputs: Vec<Operand<B>>,
    apply: impl Fn(&Op, Vec<Operand<B>>, &[ValueType], &Device<B>) -> Result<Vec<Operand<B>>, E>,
) -> Result<Vec<Operand<B>>, E> {
    graph.validate().map_err(ExecuteError::from)?;
    check_inputs(graph, inputs.iter())?;
    let plan = Plan::new(graph);
    let slots = Slots::new(graph, &plan, inputs, upload(graph, device)?);
    guarded(graph, &plan, slots, device, apply)
}

/// What a run needs to know beforehand, so that it looks nothing up.
struct Plan {
    /// Per operation and operand: whether nothing reads the value later.
    last_uses: Vec<Vec<bool>>,
    /// Per operation: types of its results.
    results: Vec<Vec<ValueType>>,
    /// Per value: whether an operation reads it or the graph returns it.
    used: Vec<bool>,
    /// Per output: whether the value is not returned again.
    last_outputs: Vec<bool>,
}

impl Plan {
    fn new(graph: &Graph) -> Self {
        let mut used = vec![false; graph.values.len()];
        let read = graph.nodes.iter().flat_map(|node| &node.inputs);
        for value in read.chain(&graph.outputs) {
            if let Some(used) = used.get_mut(value.index()) {
                *used = true;
            }
        }
        let types = |node: &Node| {
            let types = node.outputs.iter().map(|&value| graph.value(value));
            types.cloned().collect()
        };
        Self {
            last_uses: graph.last_uses(),
            results: graph.nodes.iter().map(types).collect(),
            used,
            last_outputs: graph.last_outputs(),
        }
    }
}

/// The values that are alive.
struct Slots<B: Backend>(Vec<Option<Operand<B>>>);

impl<B: Backend> Slots<B> {
    fn new(
        graph: &Graph,
        plan: &Plan,
        inputs: Vec<Operand<B>>,
        constants: Vec<(ValueId, Operand<B>)>,
    ) -> Self {
        let mut slots = Self((0..graph.values.len()).map(|_| None).collect());
        let inputs = graph.inputs.iter().copied().zip(inputs);
        for (value, operand) in inputs.chain(constants) {
            slots.put(plan, value, operand);
        }
        slots
    }

    /// Keeps a value, unless nothing will read it.
    fn put(&mut self, plan: &Plan, value: ValueId, operand: Operand<B>) {
        if plan.used.get(value.index()) == Some(&true)
            && let Some(slot) = self.0.get_mut(value.index())
        {
            *slot = Some(operand);
        }
    }

    /// Reads a value, and forgets it where this is the last time.
    fn read(
        &mut self,
        value: ValueId,
        last: bool,
        user: impl Fn() -> String,
    ) -> Result<Operand<B>, ExecuteError> {
        let slot = self.0.get_mut(value.index());
        let operand = slot.and_then(|slot| if last { slot.take() } else { slot.clone() });
        operand.ok_or_else(|| {
            ExecuteError::Graph(GraphError::Undefined { value: value.index(), user: user() })
        })
    }
}

fn upload<B: Backend>(
    graph: &Graph,
    device: &Device<B>,
) -> Result<Vec<(ValueId, Operand<B>)>, ExecuteError> {
    let one = |constant: &crate::graph::Constant| {
        let ty = graph.value(constant.value);
        let data = stored_as(constant.data.clone(), ty, constant.value.index())?;
        Ok((constant.value, Operand::from_data(data, device)?))
    };
    graph.constants.iter().map(one).collect()
}

fn check_inputs<'a, B: Backend>(
    graph: &Graph,
    inputs: impl Iterator<Item = &'a Operand<B>> + Clone,
) -> Result<(), ExecuteError> {
    let found = inputs.clone().count();
    if found != graph.inputs.len() {
        let what = "the program".into();
        return Err(ExecuteError::InputCount { what, expected: graph.inputs.len(), found });
    }
    for (index, (operand, &value)) in inputs.zip(&graph.inputs).enumerate() {
        let expected = graph.value(value);
        // How truth values are stored is the backend's own business.
        let same_type = operand.dtype() == expected.dtype
            || (operand.kind() == Kind::Bool && expected.kind() == Kind::Bool);
        if !same_type || !operand.has_shape(&expected.shape) {
            return Err(ExecuteError::InputType {
                index,
                expected: expected.to_string(),
                found: operand.value_type().to_string(),
            });
        }
    }
    Ok(())
}

fn run_nodes<B: Backend, E: From<ExecuteError>>(
    graph: &Graph,
    plan: &Plan,
    mut slots: Slots<B>,
    mut apply: impl FnMut(usize, &Op, Vec<Operand<B>>, &[ValueType]) -> Result<Vec<Operand<B>>, E>,
) -> Result<Vec<Operand<B>>, E> {
    let steps = graph.nodes.iter().zip(&plan.last_uses).zip(&plan.results);
    for (position, ((node, last_uses), types)) in steps.enumerate() {
        let reads = node.inputs.iter().zip(last_uses);
        let inputs: Vec<Operand<B>> = reads
            .map(|(&value, &last)| slots.read(value, last, || describe(graph, position)))
            .collect::<Result<_, _>>()?;
        let results = apply(position, &node.op, inputs, types)?;
        for (&value, operand) in node.outputs.iter().zip(results) {
            slots.put(plan, value, operand);
        }
    }
    let outputs = graph.outputs.iter().zip(&plan.last_outputs);
    let results = outputs.map(|(&value, &last)| slots.read(value, last, || "the outputs".into()));
    Ok(results.collect::<Result<_, _>>()?)
}

/// Runs with panics of the backend turned into errors that name the operation.
fn guarded<B: Backend, E: From<ExecuteError>>(
    graph: &Graph,
    plan: &Plan,
    slots: Slots<B>,
    device: &Device<B>,
    apply: impl Fn(&Op, Vec<Operand<B>>, &[ValueType], &Device<B>) -> Result<Vec<Operand<B>>, E>,
) -> Result<Vec<Operand<B>>, E> {
    let current = Cell::new(0);
    let run = || {
        run_nodes(graph, plan, slots, |position, op, inputs, types| {
            current.set(position);
            apply(op, inputs, types, device)
        })
    };
    caught(run).unwrap_or_else(|message| {
        let operation = describe(graph, current.get());
        Err(ExecuteError::Backend { operation, message }.into())
    })
}

/// Name, position and operand types of an operation, for messages.
pub(super) fn describe(graph: &Graph, position: usize) -> String {
    let Some(node) = graph.nodes.get(position) else {
        return format!("number {position}");
    };
    let types = node.inputs.iter().map(|&value| graph.value(value).to_string());
    let types: Vec<String> = types.collect();
    format!("{} (number {position}) of [{}]", node.op.name(), types.join(", "))
}
