//! A product with vectors of which all parts but one are zero.

use crate::{
    derive::fold::fold,
    graph::{Graph, Node, Op},
};

/// A program of a product whose last `varying` inputs are the parts of a vector, for vectors that are zero but in one of these
/// parts: it is the last input then. What is zero for all of them is not computed.
pub(crate) fn with_only(program: &Graph, varying: usize, part: usize) -> Graph {
    let mut graph = program.clone();
    let fixed = graph.inputs.len().saturating_sub(varying);
    let parts = graph.inputs.split_off(fixed);
    let mut zeros = Vec::with_capacity(parts.len());
    for (place, input) in parts.into_iter().enumerate() {
        if place == part {
            graph.inputs.push(input);
        } else {
            zeros.push(Node { op: Op::Zeros, inputs: Vec::new(), outputs: vec![input] });
        }
    }
    graph.nodes.splice(0..0, zeros);
    fold(graph).without_common_subexpressions().without_dead_code()
}
