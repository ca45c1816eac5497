//! Reorders products so that factors which do not vary from run to run are multiplied first.

use std::collections::HashMap;

use crate::graph::{Binary, Graph, Kind, Literal, Node, Op, ValueId};

/// `(v·a)·b → v·(a·b)` where `v` depends on the inputs at the given positions and `a`, `b` do not: one product less
/// in each run after a [split](Graph::split).
///
/// Only products of equal shapes, and only where nothing else reads `v·a`. A literal counts as `b`, too.
#[must_use]
pub(crate) fn fixed_factors_first(mut graph: Graph, varying: &[usize]) -> Graph {
    let varying: Vec<ValueId> =
        varying.iter().filter_map(|&index| graph.inputs.get(index).copied()).collect();
    let varies = graph.dependents(&varying);
    let readers = graph.readers();
    let mut factors: HashMap<ValueId, (ValueId, ValueId)> = HashMap::new();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for mut node in std::mem::take(&mut graph.nodes) {
        if let Some((moving, fixed)) = moving_factor(&graph, &node, |value| varies.contains(&value))
        {
            let outer = node.outputs[0];
            let known = factors.get(&moving).filter(|_| readers.get(&moving) == Some(&1)).copied();
            let pair = match (known, fixed) {
                (Some((source, inner)), fixed) => {
                    let (op, inputs) = match fixed {
                        Factor::Value(value) => (Op::Binary(Binary::Mul), vec![inner, value]),
                        Factor::Number(number) => {
                            (Op::BinaryScalar(Binary::Mul, number), vec![inner])
                        }
                    };
                    graph.values.push(graph.value(outer).clone());
                    let together = ValueId::new(graph.values.len() - 1);
                    nodes.push(Node { op, inputs, outputs: vec![together] });
                    node = product(source, together, outer);
                    Some((source, together))
                }
                (None, Factor::Value(value)) => Some((moving, value)),
                (None, Factor::Number(_)) => None,
            };
            factors.extend(pair.map(|pair| (outer, pair)));
        }
        nodes.push(node);
    }
    graph.nodes = nodes;
    graph.without_dead_code()
}

/// What stays in a product.
enum Factor {
    Value(ValueId),
    Number(Literal),
}

fn product(left: ValueId, right: ValueId, output: ValueId) -> Node {
    Node { op: Op::Binary(Binary::Mul), inputs: vec![left, right], outputs: vec![output] }
}

/// The factor that varies and the one that does not, if all shapes are equal.
fn moving_factor(
    graph: &Graph,
    node: &Node,
    varies: impl Fn(ValueId) -> bool,
) -> Option<(ValueId, Factor)> {
    let output = *node.outputs.first()?;
    let ty = graph.value(output);
    if ty.kind() != Kind::Float || node.inputs.iter().any(|&input| graph.value(input) != ty) {
        return None;
    }
    match (&node.op, &node.inputs[..]) {
        (Op::Binary(Binary::Mul), &[left, right]) => match (varies(left), varies(right)) {
            (true, false) => Some((left, Factor::Value(right))),
            (false, true) => Some((right, Factor::Value(left))),
            _ => None,
        },
        (Op::BinaryScalar(Binary::Mul, number), &[value]) if varies(value) => {
            Some((value, Factor::Number(*number)))
        }
        (Op::Unary(crate::graph::Unary::Neg), &[value]) if varies(value) => {
            Some((value, Factor::Number(Literal::Float(-1.0))))
        }
        _ => None,
    }
}
