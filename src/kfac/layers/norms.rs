//! Normalizations written out, so that their parameters are broadcast by operations of their own.

use crate::graph::{Binary, Graph, Node, Op, ValueId, ValueType};

/// The same program with `x̂·γ + β` in place of every normalization with γ and β.
pub(super) fn apart(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    for node in std::mem::take(&mut graph.nodes) {
        match (&node.op, &node.inputs[..]) {
            (Op::BatchNorm { .. }, &[x, gamma, beta, mean, variance]) => {
                let one = uniform(&mut graph, Op::Ones, gamma);
                let zero = uniform(&mut graph, Op::Zeros, beta);
                let inputs = vec![x, one, zero, mean, variance];
                affine(&mut graph, &node, (node.op.clone(), inputs, 1), gamma, Some(beta));
            }
            (&Op::LayerNorm { epsilon, .. }, &[x, gamma, ref beta @ ..]) => {
                let one = uniform(&mut graph, Op::Ones, gamma);
                let normal = Op::LayerNorm { epsilon, beta: false };
                let last = graph.value(x).shape.num_dims().saturating_sub(1);
                let beta = beta.first().copied();
                affine(&mut graph, &node, (normal, vec![x, one], last), gamma, beta);
            }
            _ => graph.nodes.push(node),
        }
    }
    graph
}

fn uniform(graph: &mut Graph, op: Op, like: ValueId) -> ValueId {
    let ty = graph.value(like).clone();
    graph.append(op, Vec::new(), ty)
}

/// The normalized values times γ, plus β; both lie along one dimension.
fn affine(
    graph: &mut Graph,
    node: &Node,
    (op, inputs, dim): (Op, Vec<ValueId>, usize),
    gamma: ValueId,
    beta: Option<ValueId>,
) {
    let output = node.outputs[0];
    let ty = graph.value(output).clone();
    let mut shape = vec![1; ty.shape.num_dims()];
    shape[dim] = ty.shape[dim];
    let along = |graph: &mut Graph, value| {
        let ty = ValueType { shape: shape.clone().into(), dtype: ty.dtype };
        graph.append(Op::Reshape, vec![value], ty)
    };
    let normal = graph.append(op, inputs, ty.clone());
    let gamma = along(graph, gamma);
    match beta {
        None => graph.append_to(Op::Binary(Binary::Mul), vec![normal, gamma], output),
        Some(beta) => {
            let scaled = graph.append(Op::Binary(Binary::Mul), vec![normal, gamma], ty.clone());
            let beta = along(graph, beta);
            graph.append_to(Op::Binary(Binary::Add), vec![scaled, beta], output);
        }
    }
}
