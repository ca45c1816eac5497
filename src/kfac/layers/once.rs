//! Layers that are used once for all samples: where their output is broadcast, each sample has its own gradient.

use super::{Role, Tap};
use crate::{
    derive::{SampleAxes, SampleAxis},
    graph::{Binary, Class, Graph, Node, Op, ValueId},
};

/// How an output is moved before it is broadcast to the samples.
#[derive(Clone, Debug)]
pub(in crate::kfac) struct Moves {
    /// Each movement with the shape before it.
    pub moves: Vec<(Op, Vec<usize>)>,
    /// The shape that is broadcast.
    pub from: Vec<usize>,
}

/// A tap at the operation that broadcasts the output of a layer to the samples; `None` if other operations read it.
pub(super) fn follow(graph: &Graph, axes: &SampleAxes, tap: &Tap) -> Option<Tap> {
    if matches!(&tap.role, Role::Weight(kind) | Role::Bias(kind) if kind.is_convolution()) {
        return None;
    }
    let shape = |value: ValueId| graph.value(value).shape.to_vec();
    let (mut value, mut moves) = (tap.value, Vec::new());
    loop {
        let (node, operand) = reader(graph, value)?;
        let output = *node.outputs.first()?;
        if matches!(axes.of(output), Some(SampleAxis::Samples { .. })) {
            let once = Some(Moves { moves, from: shape(value) });
            let operand = match node.op {
                Op::Binary(_) if node.op.class() != Class::Constant => Some(operand),
                Op::Expand => None,
                Op::RepeatDim { dim, .. } if shape(value).get(dim) == Some(&1) => None,
                _ => return None,
            };
            return Some(Tap { value: output, operand, once, ..tap.clone() });
        }
        match node.op {
            Op::Reshape | Op::SwapDims(..) | Op::Permute(_) => {
                moves.push((node.op.clone(), shape(value)));
            }
            Op::Binary(Binary::Add) if shape(value) == shape(output) => {}
            _ => return None,
        }
        value = output;
    }
}

/// The only operation that reads a value, and as which operand.
fn reader(graph: &Graph, value: ValueId) -> Option<(&Node, usize)> {
    let reads = |node: &Node| node.inputs.iter().filter(|input| **input == value).count();
    let total: usize = graph.nodes().iter().map(reads).sum();
    if total != 1 || graph.outputs().contains(&value) {
        return None;
    }
    graph
        .nodes()
        .iter()
        .find_map(|node| Some((node, node.inputs.iter().position(|input| *input == value)?)))
}
