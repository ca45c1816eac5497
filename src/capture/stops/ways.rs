//! The ways through a program on which a gradient may have been stopped.

use std::collections::HashSet;

use crate::graph::{Graph, Kind, Node, ValueId, ValueType};

/// A way through a program: an operand of a node, or a float result of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// Node and position of the operand.
    Into(usize, usize),
    /// Node and position of the result.
    OutOf(usize, usize),
}

/// A backward pass that also returns the cotangent of every way.
pub(super) struct Probed {
    /// Its inputs are the loss program's and then one probe per way, which is added there; its outputs are cotangents in
    /// the same order.
    pub graph: Graph,
    pub ways: Vec<Way>,
}

impl Way {
    fn value(self, graph: &Graph) -> ValueId {
        match self {
            Way::Into(node, at) => graph.nodes[node].inputs[at],
            Way::OutOf(node, at) => graph.nodes[node].outputs[at],
        }
    }

    pub fn ty(self, graph: &Graph) -> &ValueType {
        graph.value(self.value(graph))
    }
}

/// The ways of float values that depend on parameters, in the order of the nodes: operands, then results.
pub(super) fn ways(graph: &Graph, tracked: &HashSet<ValueId>) -> Vec<Way> {
    let float =
        |value: ValueId| tracked.contains(&value) && graph.value(value).kind() == Kind::Float;
    let mut ways = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let of = |values: &[ValueId]| (0..values.len()).filter(|&at| float(values[at])).collect();
        let (operands, results): (Vec<_>, Vec<_>) = (of(&node.inputs), of(&node.outputs));
        ways.extend(operands.into_iter().map(|at| Way::Into(index, at)));
        ways.extend(results.into_iter().map(|at| Way::OutOf(index, at)));
    }
    ways
}

/// A node's operands that may hold a stopped gradient.
pub(super) fn float_operands<'a>(
    graph: &'a Graph,
    node: &'a Node,
) -> impl Iterator<Item = (usize, ValueId)> {
    let operands = node.inputs.iter().copied().enumerate();
    operands.filter(|(_, value)| graph.value(*value).kind() == Kind::Float)
}
