//! What a program computes, counted.

use std::collections::BTreeMap;

use super::{Graph, Node, Op, ValueId, WithRespectTo};

impl Graph {
    /// How often each operation occurs, by name.
    pub fn operations(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for node in &self.nodes {
            *counts.entry(node.op.name()).or_default() += 1;
        }
        counts
    }

    /// Multiplications, each with an addition, in the matrix products and convolutions of one run. Other operations
    /// count as nothing: twice this number is a lower bound on the floating-point operations.
    pub fn multiply_adds(&self) -> usize {
        self.nodes.iter().map(|node| self.multiply_adds_of(node)).sum()
    }

    fn multiply_adds_of(&self, node: &Node) -> usize {
        let shape = |value: ValueId| &self.value(value).shape;
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
}
