//! How much memory running a program takes.

use super::{Graph, ValueId, split::is_view};

impl Graph {
    /// Bytes of the values that are alive at the same time, at most, inputs and constants left out. A view shares the
    /// memory of what it views; a value lives from where it is written to where it is last read.
    pub(crate) fn peak_bytes(&self) -> usize {
        let end = self.nodes.len();
        let mut owner: Vec<usize> = (0..self.values.len()).collect();
        let mut last_read = vec![0; self.values.len()];
        for (position, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                last_read[owner[input.index()]] = position;
            }
            if let (true, Some(viewed)) = (is_view(&node.op), node.inputs.first()) {
                node.outputs.iter().for_each(|value| owner[value.index()] = owner[viewed.index()]);
            }
        }
        for output in &self.outputs {
            last_read[owner[output.index()]] = end;
        }
        let bytes = |value: ValueId| self.value(value).bytes();
        let mut freed_after = vec![0; end + 1];
        let (mut alive, mut peak) = (0, 0);
        for (position, node) in self.nodes.iter().enumerate() {
            for &value in &node.outputs {
                let index = value.index();
                if owner[index] == index {
                    alive += bytes(value);
                    freed_after[last_read[index].max(position)] += bytes(value);
                }
            }
            peak = peak.max(alive);
            alive -= freed_after[position];
        }
        peak
    }
}

#[cfg(test)]
mod tests {
    use burn_backend::DType;

    use crate::graph::{Binary, GraphBuilder, Op, ValueType};

    /// a = x + x, b a view of a, c = b + b, d = c + c: at most two of a, c and d are alive.
    #[test]
    fn views_share_memory_and_values_die_where_they_are_last_read() {
        let ty = |shape: &[usize]| ValueType { shape: shape.to_vec().into(), dtype: DType::F32 };
        let mut graph = GraphBuilder::default();
        let x = graph.input(ty(&[2, 8]));
        let add = Op::Binary(Binary::Add);
        let a = graph.node(add.clone(), vec![x, x], vec![ty(&[2, 8])])[0];
        let b = graph.node(Op::Reshape, vec![a], vec![ty(&[16])])[0];
        let c = graph.node(add.clone(), vec![b, b], vec![ty(&[16])])[0];
        let d = graph.node(add, vec![c, c], vec![ty(&[16])])[0];
        let graph = graph.finish(vec![d]);
        let returned = |outputs| graph.returning(outputs).peak_bytes();
        assert_eq!(returned(vec![d]), 2 * 64);
        assert_eq!(returned(vec![a, d]), 3 * 64);
    }
}
