//! Computes transposed products transposed: `(a·b)ᵀ → bᵀ·aᵀ`.
//!
//! Reverse over reverse leaves products whose result is read through a transposing view. Matrix products take views
//! for their operands at no cost, while element by element operations on a view cost several times those on plain
//! storage; so the view moves from the result to the operands, where it often meets another and both vanish.

use std::collections::HashMap;

use super::{Graph, Node, Op, ValueId, ValueType};

impl Graph {
    /// Moves transposes of matrix products to the operands, where nothing else reads the product.
    #[must_use]
    pub(crate) fn with_transposes_inside_products(mut self) -> Self {
        let readers = self.readers();
        let mut made_by: HashMap<ValueId, Node> = HashMap::new();
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes) {
            match self.transposed_product(&node, &made_by, &readers) {
                Some([left, right]) => {
                    let (Op::SwapDims(a, b), &[output]) = (&node.op, &node.outputs[..]) else {
                        nodes.push(node);
                        continue;
                    };
                    let (a, b) = (*a, *b);
                    let operands = [right, left]
                        .map(|value| self.swapped(value, (a, b), &mut made_by, &mut nodes));
                    nodes.push(Node {
                        op: Op::Matmul,
                        inputs: operands.to_vec(),
                        outputs: vec![output],
                    });
                }
                None => nodes.push(node),
            }
            if let Some(node) = nodes.last() {
                made_by.extend(node.outputs.iter().map(|&value| (value, node.clone())));
            }
        }
        self.nodes = nodes;
        self.without_dead_code()
    }

    /// The operands of the product that a node transposes, where only that node reads it.
    fn transposed_product(
        &self,
        node: &Node,
        made_by: &HashMap<ValueId, Node>,
        readers: &HashMap<ValueId, usize>,
    ) -> Option<[ValueId; 2]> {
        let (Op::SwapDims(a, b), &[source]) = (&node.op, &node.inputs[..]) else {
            return None;
        };
        let rank = self.value(source).shape.num_dims();
        let swaps_matrix = a.min(b) + 2 == rank && a.max(b) + 1 == rank;
        let product = made_by.get(&source).filter(|product| product.op == Op::Matmul)?;
        match product.inputs[..] {
            [left, right] if swaps_matrix && readers.get(&source) == Some(&1) => {
                Some([left, right])
            }
            _ => None,
        }
    }

    /// A value with two dimensions exchanged: the value it was made from, where it is such a view itself.
    fn swapped(
        &mut self,
        value: ValueId,
        (a, b): (usize, usize),
        made_by: &mut HashMap<ValueId, Node>,
        nodes: &mut Vec<Node>,
    ) -> ValueId {
        if let Some(Node { op: Op::SwapDims(c, d), inputs, .. }) = made_by.get(&value)
            && (a.min(b), a.max(b)) == (*c.min(d), *c.max(d))
        {
            return inputs[0];
        }
        let mut shape = self.value(value).shape.to_vec();
        shape.swap(a, b);
        self.values.push(ValueType { shape: shape.into(), dtype: self.value(value).dtype });
        let output = ValueId::new(self.values.len() - 1);
        let node = Node { op: Op::SwapDims(a, b), inputs: vec![value], outputs: vec![output] };
        made_by.insert(output, node.clone());
        nodes.push(node);
        output
    }
}
