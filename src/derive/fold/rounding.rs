//! Values whose rounding decides about something: what is computed from them jumps.

use std::collections::HashSet;

use crate::graph::{Binary, Graph, Kind, Node, Op, Reduction, Unary, ValueId};

/// All values that a comparison, a rounding or a choice of an index is computed from. A program that is folded must find the
/// same numbers there as the one it was derived from.
pub(super) fn deciding(graph: &Graph) -> HashSet<ValueId> {
    let mut deciding = HashSet::new();
    for node in graph.nodes.iter().rev() {
        if jumps(graph, node) || node.outputs.iter().any(|output| deciding.contains(output)) {
            deciding.extend(&node.inputs);
        }
    }
    deciding
}

/// Whether a result may jump where an operand crosses a value other than zero.
fn jumps(graph: &Graph, node: &Node) -> bool {
    let becomes =
        |kind: Kind| node.outputs.iter().any(|&output| graph.value(output).kind() == kind);
    match &node.op {
        Op::CompareScalar(_, number) => number.as_f64() != 0.0,
        Op::Compare(_) => true,
        Op::Cast => becomes(Kind::Int),
        Op::Unary(Unary::Round | Unary::Floor | Unary::Ceil | Unary::Trunc) => true,
        Op::Binary(Binary::Rem) | Op::BinaryScalar(Binary::Rem, _) => true,
        Op::ReduceDim(Reduction::ArgMax | Reduction::ArgMin, _) => true,
        _ => false,
    }
}
