//! Moves factors that do not vary from run to run to where fewer elements are multiplied: after a gather, before a
//! scatter.

use std::collections::{HashMap, HashSet};

use burn_backend::tensor::IndexingUpdateOp;

use crate::graph::{Binary, Graph, Node, Op, ValueId};

/// `gather(v·a) → gather(v)·gather(a)` and `scatter(v)·a → scatter(v·gather(a))` into zeros, where `v` depends on the
/// inputs at the given positions and `a` does not, and where nothing else reads what is replaced.
///
/// A rectifier before a max pool is such a factor: its mask is gathered once.
#[must_use]
pub(crate) fn factors_of_gathers(mut graph: Graph, varying: &[usize]) -> Graph {
    let inputs = varying.iter().filter_map(|&index| graph.inputs.get(index));
    let inputs: Vec<ValueId> = inputs.copied().collect();
    let varies = graph.dependents(&inputs);
    let readers = graph.readers();
    let nodes = std::mem::take(&mut graph.nodes);
    let mut mover = Mover { graph, varies, readers, written_by: HashMap::new() };
    for node in nodes {
        mover.visit(node);
    }
    mover.graph.without_dead_code()
}

/// A program being rewritten.
struct Mover {
    /// The program; its nodes are those already rewritten.
    graph: Graph,
    varies: HashSet<ValueId>,
    readers: HashMap<ValueId, usize>,
    /// The operations of the program as it was, by the value they write.
    written_by: HashMap<ValueId, Node>,
}

impl Mover {
    fn visit(&mut self, node: Node) {
        if let &[output] = &node.outputs[..] {
            self.written_by.insert(output, node.clone());
        }
        if self.behind_gather(&node).or_else(|| self.before_scatter(&node)).is_none() {
            self.graph.nodes.push(node);
        }
    }

    fn behind_gather(&mut self, node: &Node) -> Option<()> {
        let (Op::Gather(dim), &[source, indices]) = (&node.op, &node.inputs[..]) else {
            return None;
        };
        let output = *node.outputs.first()?;
        let (moving, fixed) = self.factors(self.behind_reshape(source))?;
        let fewer = self.count(output) < self.count(source);
        if !fewer || self.varies.contains(&indices) || self.readers.get(&source) != Some(&1) {
            return None;
        }
        let gathered = [moving, fixed].map(|factor| {
            let factor = self.shaped_like(factor, source);
            let ty = self.graph.value(output).clone();
            self.graph.append(Op::Gather(*dim), vec![factor, indices], ty)
        });
        self.graph.append_to(Op::Binary(Binary::Mul), gathered.to_vec(), output);
        Some(())
    }

    fn before_scatter(&mut self, node: &Node) -> Option<()> {
        let output = *node.outputs.first()?;
        let (moving, fixed) = self.factors(output)?;
        let scattered = self.behind_reshape(moving);
        let scatter = self.written_by.get(&scattered)?;
        let (Op::Scatter(dim, IndexingUpdateOp::Add), &[target, indices, value]) =
            (&scatter.op, &scatter.inputs[..])
        else {
            return None;
        };
        let (dim, op) = (*dim, scatter.op.clone());
        let into_zeros = self.written_by.get(&target)?.op == Op::Zeros;
        let fewer = self.count(value) < self.count(scattered);
        let once = [moving, scattered].map(|value| self.readers.get(&value) == Some(&1));
        if !into_zeros || !fewer || once != [true; 2] || self.varies.contains(&indices) {
            return None;
        }
        let ty = self.graph.value(value).clone();
        let factor = self.shaped_like(fixed, scattered);
        let factor = self.graph.append(Op::Gather(dim), vec![factor, indices], ty.clone());
        let product = self.graph.append(Op::Binary(Binary::Mul), vec![value, factor], ty);
        let ty = self.graph.value(scattered).clone();
        let result = self.graph.append(op, vec![target, indices, product], ty);
        self.graph.append_to(Op::Reshape, vec![result], output);
        Some(())
    }

    /// The varying and the fixed factor of a product of equal shapes.
    fn factors(&self, product: ValueId) -> Option<(ValueId, ValueId)> {
        let node = self.written_by.get(&product)?;
        let (Op::Binary(Binary::Mul), &[left, right]) = (&node.op, &node.inputs[..]) else {
            return None;
        };
        let ty = self.graph.value(product);
        if self.graph.value(left) != ty || self.graph.value(right) != ty {
            return None;
        }
        match [left, right].map(|factor| self.varies.contains(&factor)) {
            [true, false] => Some((left, right)),
            [false, true] => Some((right, left)),
            _ => None,
        }
    }

    /// What a value is the only reshaped reader of, or the value itself.
    fn behind_reshape(&self, value: ValueId) -> ValueId {
        let reshape = self.written_by.get(&value).filter(|node| node.op == Op::Reshape);
        let source = reshape.and_then(|node| node.inputs.first());
        match source {
            Some(source) if self.readers.get(source) == Some(&1) => *source,
            _ => value,
        }
    }

    fn shaped_like(&mut self, value: ValueId, like: ValueId) -> ValueId {
        let ty = self.graph.value(like).clone();
        if *self.graph.value(value) == ty {
            return value;
        }
        self.graph.append(Op::Reshape, vec![value], ty)
    }

    fn count(&self, value: ValueId) -> usize {
        self.graph.value(value).shape.num_elements()
    }
}
