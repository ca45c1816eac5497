//! Whether a program itself shows that indices are within bounds, as those that it sorts or looks for are.

use crate::graph::{Graph, Kind, Op, Reduction, SortOutputs, ValueId};

/// Whether indices are non-negative and below a limit, whatever the inputs of the program.
pub(super) fn are_within(graph: &Graph, indices: ValueId, limit: usize) -> bool {
    let Some(node) = graph.nodes.iter().find(|node| node.outputs.contains(&indices)) else {
        return false;
    };
    let all = |values: &[ValueId]| values.iter().all(|&value| are_within(graph, value, limit));
    let size = |dim: usize| {
        let shape = node.inputs.first().map(|&x| graph.value(x).shape.to_vec());
        shape.and_then(|shape| shape.get(dim).copied())
    };
    let below = |count: Option<usize>| count.is_some_and(|count| count <= limit);
    match &node.op {
        Op::Zeros => limit > 0,
        Op::Reshape
        | Op::SwapDims(..)
        | Op::Permute(_)
        | Op::Flip(_)
        | Op::Expand
        | Op::Unfold { .. }
        | Op::Slice(_)
        | Op::RepeatDim { .. }
        | Op::Cat(_)
        | Op::StopGradient => all(&node.inputs),
        Op::Gather(_) | Op::Select(_) | Op::GatherNd => {
            all(node.inputs.get(..1).unwrap_or_default())
        }
        Op::MaskWhere => node.inputs.iter().step_by(2).all(|&value| all(&[value])),
        Op::Cast => match node.inputs.first().map(|&x| graph.value(x).kind()) {
            Some(Kind::Int) => all(&node.inputs),
            Some(Kind::Bool) => limit > 1,
            _ => false,
        },
        Op::Clamp { min: Some(min), max: Some(max) } => {
            min.as_f64() >= 0.0 && max.as_f64() < limit as f64
        }
        Op::ReduceDim(Reduction::ArgMax | Reduction::ArgMin, dim) => below(size(*dim)),
        Op::ExtremumWithIndices { dim, .. } => {
            node.outputs.last() == Some(&indices) && below(size(*dim))
        }
        Op::TopK { dim, outputs, .. } | Op::Sort { dim, outputs, .. } => {
            let found = *outputs != SortOutputs::Values && node.outputs.last() == Some(&indices);
            found && below(size(*dim))
        }
        _ => false,
    }
}
