//! What identifies a computation whatever its sizes, and elements that are all one number.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use burn_backend::TensorData;

use crate::graph::{Graph, Op, ValueId};

/// The number that all elements are, if there is one.
pub(super) fn uniform_data(data: &TensorData) -> Option<f64> {
    let mut elements = data.iter::<f64>();
    let first = elements.next()?;
    elements.all(|element| element == first).then_some(first)
}

/// Identifies what computes each value, whatever the sizes.
pub(super) fn contents(graph: &Graph) -> HashMap<ValueId, u64> {
    let mut contents: HashMap<ValueId, u64> = HashMap::new();
    for (position, &input) in graph.inputs().iter().enumerate() {
        contents.insert(input, hash(&("input", position)));
    }
    for constant in &graph.constants {
        let content = match uniform_data(&constant.data) {
            Some(number) => hash(&("uniform", number.to_bits())),
            None => hash(&(constant.data.as_bytes(), constant.data.shape().to_vec())),
        };
        contents.insert(constant.value, content);
    }
    for node in graph.nodes() {
        let of = |value: &ValueId| contents.get(value).copied().unwrap_or_default();
        let inputs: Vec<u64> = node.inputs.iter().map(of).collect();
        for (position, &output) in node.outputs.iter().enumerate() {
            let content = match &node.op {
                // Where sizes are one, Burn leaves these out.
                Op::Reshape | Op::Expand | Op::RepeatDim { .. } => inputs.first().copied(),
                Op::Full(literal) => Some(hash(&("uniform", literal.as_f64().to_bits()))),
                Op::Ones => Some(hash(&("uniform", 1.0_f64.to_bits()))),
                Op::Zeros => Some(hash(&("uniform", 0.0_f64.to_bits()))),
                Op::Slice(_) | Op::SliceAssign(_) | Op::Pad { .. } | Op::Unfold { .. } => {
                    Some(hash(&(node.op.name(), &inputs)))
                }
                op => Some(hash(&(format!("{op:?}"), &inputs, position))),
            };
            contents.insert(output, content.unwrap_or_default());
        }
    }
    contents
}

pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
