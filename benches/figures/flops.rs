//! Floating-point operations of a program's matrix products and convolutions, from the sizes of what they read and
//! write. Nothing else is counted.

use burn_curvature::{Graph, Node, Op, ValueId, WithRespectTo};

/// Multiplications and additions of one run.
pub fn flops(program: &Graph) -> f64 {
    let each = program.nodes().iter().map(|node| multiply_adds(program, node));
    2.0 * each.sum::<usize>() as f64
}

fn multiply_adds(program: &Graph, node: &Node) -> usize {
    let shape = |value: ValueId| &program.values()[value.index()].shape;
    let size = |value: ValueId| shape(value).num_elements();
    match (&node.op, &node.inputs[..]) {
        (Op::Matmul, &[left, _]) => {
            size(node.outputs[0]) * shape(left).last().copied().unwrap_or(1)
        }
        (Op::Conv { .. }, &[_, weight, ..]) => {
            size(node.outputs[0]) * size(weight) / shape(weight)[0]
        }
        (
            Op::ConvBackward(_, WithRespectTo::Input | WithRespectTo::Weight),
            &[_, weight, cotangent],
        ) => size(cotangent) * size(weight) / shape(weight)[0],
        (Op::ConvTranspose { .. }, &[image, weight, ..])
        | (Op::ConvTransposeBackward(_, WithRespectTo::Weight), &[image, weight, _]) => {
            size(image) * size(weight) / shape(weight)[0]
        }
        (Op::ConvTransposeBackward(_, WithRespectTo::Input), &[weight, _]) => {
            size(node.outputs[0]) * size(weight) / shape(weight)[0]
        }
        _ => 0,
    }
}
