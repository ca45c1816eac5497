//! Burn's own backward pass over a recorded program, recorded: plain, or with a probe on every way through it.

use std::collections::HashSet;

use burn_autodiff::Autodiff;
use burn_backend::{
    AutodiffBackend, TensorMetadata,
    ops::{BoolTensorOps, FloatTensorOps, IntTensorOps, ModuleOps},
    tensor::{Device, FloatTensor},
};
use burn_capture::CaptureBackend;

use super::ways::{Probed, Way, ways};
use crate::{
    capture::{CaptureError, Scope, scope},
    error::Error,
    execute,
    graph::{Graph, Kind, Op, ValueType},
    tensor::Operand,
};

type B = Autodiff<CaptureBackend>;

/// A tensor on the tape that requires a gradient.
pub(in crate::capture) fn leaf(tensor: FloatTensor<CaptureBackend>) -> FloatTensor<B> {
    B::float_set_require_grad(B::from_inner(tensor), true)
}

/// The gradients of a tensor by leaves; zeros where it does not depend on them.
pub(in crate::capture) fn gradients(
    of: FloatTensor<B>,
    leaves: &[FloatTensor<B>],
) -> Vec<Operand<CaptureBackend>> {
    let found = of.is_tracked().then(|| B::backward(of));
    let gradient = |leaf: &FloatTensor<B>| {
        let found = found.as_ref().and_then(|found| B::grad(leaf, found));
        Operand::Float(found.unwrap_or_else(|| {
            let device = leaf.primitive().device();
            CaptureBackend::float_zeros(leaf.shape(), &device, leaf.dtype().into())
        }))
    };
    leaves.iter().map(gradient).collect()
}

/// How a program is run on a tape.
///
/// Burn runs an operation on the tape if one of its operands is associated with it, and on the device below otherwise,
/// where some operations are recorded otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tape {
    /// How many of its inputs are parameters.
    pub parameters: usize,
    /// How many of its last inputs are buffers.
    pub buffers: usize,
    /// Whether statistics that are computed are those of Burn's batch norm in training mode.
    pub in_training: bool,
    /// Whether the batch is associated with the tape.
    pub with_batch: bool,
    /// Whether what the closure creates is associated with the tape.
    pub with_created: bool,
}

impl Tape {
    /// The ways in which a closure may have been run, the likeliest first.
    pub fn all(
        (parameters, buffers): (usize, usize),
        in_training: bool,
    ) -> impl Iterator<Item = Self> {
        let associated: &[(bool, bool)] = if in_training {
            &[(true, true), (false, false), (true, false)]
        } else {
            &[(false, false), (false, true)]
        };
        associated.iter().map(move |&(with_batch, with_created)| Self {
            parameters,
            buffers,
            in_training,
            with_batch,
            with_created,
        })
    }

    /// The gradients by the parameters, as Burn's backward pass computes them: a program of the loss program's inputs.
    pub fn backward(self, loss: &Graph) -> Result<Graph, Error> {
        scope::record(|scope| {
            let inputs = declared(scope, loss);
            let (leaves, inputs) = on_tape(inputs, self.parameters);
            let loss = self.replay(loss, &scope.device(), inputs, (&[], &[]))?;
            Ok(gradients(loss, &leaves))
        })
    }

    /// The backward pass with a probe wherever a float value depends on the parameters.
    pub fn probed(self, loss: &Graph) -> Result<Probed, Error> {
        let ways = ways(loss, &loss.dependents(&loss.inputs[..self.parameters]));
        let graph = scope::record(|scope| {
            let inputs = declared(scope, loss);
            let probes = ways.iter().map(|way| leaf_of(scope.input(way.ty(loss))));
            let probes = probes.collect::<Result<Vec<_>, Error>>()?;
            let (_, inputs) = on_tape(inputs, self.parameters);
            let loss = self.replay(loss, &scope.device(), inputs, (&ways, &probes))?;
            Ok(gradients(loss, &probes))
        })?;
        Ok(Probed { graph, ways })
    }

    /// Runs a program, with the probes added; returns its first output.
    fn replay(
        self,
        graph: &Graph,
        device: &Device<CaptureBackend>,
        inputs: Vec<Operand<B>>,
        (ways, probes): (&[Way], &[FloatTensor<B>]),
    ) -> Result<FloatTensor<B>, Error> {
        let mut values = self.begin(graph, device, inputs);
        let computed: HashSet<_> = graph.nodes.iter().flat_map(|node| &node.outputs).collect();
        let mut probes = ways.iter().zip(probes).peekable();
        for (index, node) in graph.nodes.iter().enumerate() {
            let mut probed = |way: Way, operand: Operand<B>| match (operand, probes.peek()) {
                (Operand::Float(tensor), Some((next, probe))) if **next == way => {
                    let probe = (*probe).clone();
                    probes.next();
                    Operand::Float(B::float_add(tensor, probe))
                }
                (operand, _) => operand,
            };
            let mut operands = Vec::with_capacity(node.inputs.len());
            let mut on_tape = node.inputs.is_empty() && self.with_created;
            for (at, input) in node.inputs.iter().enumerate() {
                let (operand, associated) = values[input.index()].clone().ok_or_else(unknown)?;
                on_tape |= associated;
                operands.push(probed(Way::Into(index, at), operand));
            }
            let types: Vec<_> =
                node.outputs.iter().map(|&output| graph.value(output).clone()).collect();
            let results = match node.op {
                Op::BatchNorm { epsilon }
                    if self.in_training && computed.contains(&node.inputs[3]) =>
                {
                    vec![Operand::Float(normalized(operands, epsilon)?)]
                }
                _ if on_tape => execute::apply::<B>(&node.op, operands, &types, device)?,
                _ => {
                    let operands = operands.into_iter().map(below).collect();
                    let results =
                        execute::apply::<CaptureBackend>(&node.op, operands, &types, device)?;
                    results.into_iter().map(lift).collect()
                }
            };
            for (at, (output, result)) in node.outputs.iter().zip(results).enumerate() {
                values[output.index()] = Some((probed(Way::OutOf(index, at), result), on_tape));
            }
        }
        let loss = graph.outputs.first().and_then(|loss| values[loss.index()].clone());
        match loss {
            Some((Operand::Float(loss), _)) => Ok(loss),
            _ => Err(unknown()),
        }
    }

    /// The inputs and constants, each with whether it is associated with the tape.
    fn begin(
        self,
        graph: &Graph,
        device: &Device<CaptureBackend>,
        inputs: Vec<Operand<B>>,
    ) -> Vec<Option<(Operand<B>, bool)>> {
        let mut values = vec![None; graph.values.len()];
        for (position, (&input, operand)) in graph.inputs.iter().zip(inputs).enumerate() {
            let of_batch = position < graph.inputs.len().saturating_sub(self.buffers);
            let associated = position < self.parameters || (of_batch && self.with_batch);
            values[input.index()] = Some((operand, associated));
        }
        for constant in &graph.constants {
            let ty = graph.value(constant.value);
            let operand = upload(constant.data.clone(), ty, device);
            values[constant.value.index()] = Some((operand, self.with_created));
        }
        values
    }
}

/// The tensor below the tape.
fn below(operand: Operand<B>) -> Operand<CaptureBackend> {
    match operand {
        Operand::Float(tensor) => Operand::Float(B::inner(tensor)),
        Operand::Int(tensor) => Operand::Int(B::int_inner(tensor)),
        Operand::Bool(tensor) => Operand::Bool(B::bool_inner(tensor)),
    }
}

fn lift(operand: Operand<CaptureBackend>) -> Operand<B> {
    match operand {
        Operand::Float(tensor) => Operand::Float(B::from_inner(tensor)),
        Operand::Int(tensor) => Operand::Int(B::int_from_inner(tensor)),
        Operand::Bool(tensor) => Operand::Bool(B::bool_from_inner(tensor)),
    }
}

/// Batch norm in training mode of `x, gamma, beta` and statistics, which it computes itself.
fn normalized(operands: Vec<Operand<B>>, epsilon: f64) -> Result<FloatTensor<B>, Error> {
    match operands.as_slice() {
        [Operand::Float(x), Operand::Float(gamma), Operand::Float(beta), ..] => {
            Ok(B::batch_norm_train(x.clone(), gamma.clone(), beta.clone(), epsilon).output)
        }
        _ => Err(unknown()),
    }
}

fn declared(scope: &mut Scope, graph: &Graph) -> Vec<Operand<CaptureBackend>> {
    graph.inputs.iter().map(|&input| scope.input(graph.value(input))).collect()
}

/// The parameters as leaves, and all operands on the tape.
fn on_tape(
    inputs: Vec<Operand<CaptureBackend>>,
    parameters: usize,
) -> (Vec<FloatTensor<B>>, Vec<Operand<B>>) {
    let mut leaves = Vec::with_capacity(parameters);
    let lifted = inputs.into_iter().enumerate().map(|(position, operand)| match operand {
        Operand::Float(tensor) if position < parameters => {
            leaves.push(leaf(tensor));
            Operand::Float(leaves[leaves.len() - 1].clone())
        }
        other => lift(other),
    });
    let lifted = lifted.collect();
    (leaves, lifted)
}

fn upload(
    data: burn_backend::TensorData,
    ty: &ValueType,
    device: &Device<CaptureBackend>,
) -> Operand<B> {
    match ty.kind() {
        Kind::Float => Operand::Float(B::float_from_data(data, device)),
        Kind::Int => Operand::Int(B::int_from_data(data, device)),
        Kind::Bool => Operand::Bool(B::bool_from_data(data, device)),
    }
}

fn leaf_of(operand: Operand<CaptureBackend>) -> Result<FloatTensor<B>, Error> {
    match operand {
        Operand::Float(tensor) => Ok(leaf(tensor)),
        Operand::Int(_) | Operand::Bool(_) => Err(unknown()),
    }
}

fn unknown() -> Error {
    CaptureError::Boundary { message: "a value of the program is not known".into() }.into()
}
