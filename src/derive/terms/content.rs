//! What identifies a computation whatever its sizes, and elements that are all one number.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use burn_backend::TensorData;

use crate::graph::{Binary, Graph, Op, Reduction, Unary, ValueId};

/// The elements of values whose elements are all one number.
pub(super) fn uniform(graph: &Graph) -> HashMap<ValueId, f64> {
    let constants = graph.constants.iter();
    let constants = constants.filter_map(|one| Some((one.value, uniform_data(&one.data)?)));
    let mut uniform: HashMap<ValueId, f64> = constants.collect();
    for node in graph.nodes() {
        let first = node.inputs.first().and_then(|value| uniform.get(value).copied());
        let elements = node.inputs.first().map(|&x| graph.value(x).shape.num_elements());
        let number = match &node.op {
            Op::Zeros => Some(0.0),
            Op::Ones => Some(1.0),
            Op::Full(literal) => Some(literal.as_f64()),
            Op::Reshape | Op::Expand | Op::RepeatDim { .. } | Op::Cast => first,
            Op::Reduce(Reduction::Mean) => first,
            Op::Reduce(Reduction::Sum) => {
                first.zip(elements).map(|(first, elements)| first * elements as f64)
            }
            Op::Unary(Unary::Neg) => first.map(|first| -first),
            Op::Unary(Unary::Recip) => first.map(f64::recip),
            Op::Unary(Unary::Sqrt) => first.map(f64::sqrt),
            Op::BinaryScalar(Binary::Mul, literal) => first.map(|first| first * literal.as_f64()),
            Op::BinaryScalar(Binary::Div, literal) => first.map(|first| first / literal.as_f64()),
            _ => None,
        };
        if let (Some(number), &[output]) = (number, &node.outputs[..]) {
            uniform.insert(output, number);
        }
    }
    uniform
}

/// The number that all elements are, if there is one.
fn uniform_data(data: &TensorData) -> Option<f64> {
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
