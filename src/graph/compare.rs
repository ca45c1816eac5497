//! Whether two graphs are one program, and where they begin to differ.

use super::{Graph, Node};

impl Graph {
    /// The first difference from another graph, in words: an operation, a constant, an input or output. Two NaN are equal.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        for (position, (a, b)) in self.nodes.iter().zip(&other.nodes).enumerate() {
            let same = a.inputs == b.inputs && self.describes(a) == other.describes(b);
            if !same {
                let (a, b) = (self.describes(a), other.describes(b));
                return Some(format!("operation {} was {a} and is now {b}", position + 1));
            }
        }
        if self.nodes.len() != other.nodes.len() {
            let (a, b) = (self.nodes.len(), other.nodes.len());
            return Some(format!("it had {a} operations and has now {b}"));
        }
        let constants = self.constants.iter().zip(&other.constants);
        let mut constants = constants.map(|(a, b)| {
            a.value == b.value
                && a.data.as_bytes() == b.data.as_bytes()
                && a.data.dtype() == b.data.dtype()
        });
        if self.constants.len() != other.constants.len() || constants.any(|same| !same) {
            return Some("a constant tensor has other values".into());
        }
        let boundaries = self.inputs == other.inputs && self.outputs == other.outputs;
        (!boundaries).then(|| "it returns another value".into())
    }

    /// An operation with its attributes and the types of its results.
    fn describes(&self, node: &Node) -> String {
        let types: Vec<_> =
            node.outputs.iter().map(|&value| self.value(value).to_string()).collect();
        format!("{:?} → {}", node.op, types.join(", "))
    }
}
