//! A program half rewritten for several vectors: the values with the axis of the vectors, and the operations on them.

use std::collections::{BTreeSet, HashMap};

use burn_backend::{Shape, Slice};

use super::{Many, views::View};
use crate::graph::{Graph, Kind, Node, Op, ValueId, ValueType};

/// A value for all vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stacked {
    pub value: ValueId,
    /// Which of its dimensions counts the vectors.
    pub axis: usize,
}

/// A program half rewritten.
pub(super) struct Stack<'a> {
    /// The program for one vector.
    source: &'a Graph,
    /// The program for several; its values begin with those of the source.
    graph: Graph,
    /// Number of vectors.
    count: usize,
    /// For each value of the source that depends on a vector: the one for all.
    stacked: HashMap<ValueId, Stacked>,
    /// What a reshaped value was before.
    pub(super) reshaped: HashMap<ValueId, ValueId>,
    /// Values that are others with their dimensions in another order.
    pub(super) views: HashMap<ValueId, View>,
    /// Other values whose elements do not lie in the order of their indices.
    pub(super) scattered: BTreeSet<ValueId>,
    /// Operations without a rule.
    one_by_one: BTreeSet<String>,
}

impl<'a> Stack<'a> {
    pub fn new(source: &'a Graph, count: usize) -> Self {
        let mut graph = source.clone();
        graph.nodes.clear();
        Self {
            source,
            graph,
            count,
            stacked: HashMap::new(),
            reshaped: HashMap::new(),
            views: HashMap::new(),
            scattered: BTreeSet::new(),
            one_by_one: BTreeSet::new(),
        }
    }

    /// Declares the vectors that stand for an input.
    pub fn input(&mut self, input: ValueId, axis: usize) -> ValueId {
        let value = self.value(self.with_axis(input, axis), input);
        self.stacked.insert(input, Stacked { value, axis });
        value
    }

    /// Writes an operation: as it is, for all vectors at once, or for one after another.
    pub fn visit(&mut self, node: &Node) {
        if !node.inputs.iter().any(|&input| self.varies(input)) {
            self.note(&node.op, &node.inputs, &node.outputs);
            self.graph.nodes.push(node.clone());
            return;
        }
        let results = match self.together(node) {
            Some(results) => results,
            None => {
                self.one_by_one.insert(node.op.name());
                self.each(node)
            }
        };
        self.stacked.extend(node.outputs.iter().copied().zip(results));
    }

    /// The program; the outputs have the axis at a place, or wherever it takes no copy.
    pub fn finish(mut self, inputs: Vec<ValueId>, axes: Vec<usize>, place: Option<usize>) -> Many {
        let outputs = self.source.outputs.iter().map(|&output| {
            let settled = self.settled(output);
            let axis = place.unwrap_or(settled.axis);
            Stacked { value: self.moved(settled, axis), axis }
        });
        let outputs: Vec<Stacked> = outputs.collect();
        let mut graph = self.graph;
        graph.inputs = inputs;
        graph.outputs = outputs.iter().map(|output| output.value).collect();
        graph.one_by_one = self.one_by_one.into_iter().collect();
        let graph = graph.without_dead_code().without_common_subexpressions().without_dead_code();
        Many { graph, inputs: axes, outputs: outputs.iter().map(|output| output.axis).collect() }
    }

    /// Number of vectors.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether a value of the source depends on a vector.
    pub fn varies(&self, value: ValueId) -> bool {
        self.stacked.contains_key(&value)
    }

    /// A value of the source for all vectors, if it depends on them.
    pub fn find(&self, value: ValueId) -> Option<Stacked> {
        self.stacked.get(&value).copied()
    }

    /// Float, int or bool.
    pub fn kind(&self, value: ValueId) -> Kind {
        self.graph.value(value).kind()
    }

    /// Shape of a value.
    pub fn shape(&self, value: ValueId) -> Vec<usize> {
        self.graph.value(value).shape.to_vec()
    }

    /// Number of dimensions of a value.
    pub fn rank(&self, value: ValueId) -> usize {
        self.graph.value(value).shape.num_dims()
    }

    /// Shape of a value of the source with the axis at a place.
    pub fn with_axis(&self, value: ValueId, axis: usize) -> Vec<usize> {
        let mut shape = self.shape(value);
        shape.insert(axis, self.count);
        shape
    }

    /// An operation with results like those of a node, with the axis at a place.
    pub fn like(&mut self, node: &Node, op: Op, inputs: Vec<ValueId>, axis: usize) -> Vec<Stacked> {
        let shapes = node.outputs.iter().map(|&output| self.with_axis(output, axis)).collect();
        let values = self.shaped_like(node, op, inputs, shapes);
        values.into_iter().map(|value| Stacked { value, axis }).collect()
    }

    /// An operation with results of these shapes and of the element types of those of a node.
    pub fn shaped_like(
        &mut self,
        node: &Node,
        op: Op,
        inputs: Vec<ValueId>,
        shapes: Vec<Vec<usize>>,
    ) -> Vec<ValueId> {
        let shapes = shapes.into_iter().zip(&node.outputs);
        let outputs: Vec<_> = shapes.map(|(shape, &output)| self.value(shape, output)).collect();
        self.note(&op, &inputs, &outputs);
        self.graph.nodes.push(Node { op, inputs, outputs: outputs.clone() });
        outputs
    }

    /// An operation with one result, of the element type of `like`.
    pub fn emit(
        &mut self,
        op: Op,
        inputs: Vec<ValueId>,
        shape: &[usize],
        like: ValueId,
    ) -> ValueId {
        let output = self.value(shape.to_vec(), like);
        self.note(&op, &inputs, &[output]);
        self.graph.nodes.push(Node { op, inputs, outputs: vec![output] });
        output
    }

    /// The node for one vector after another.
    fn each(&mut self, node: &Node) -> Vec<Stacked> {
        let mut results: Vec<Vec<ValueId>> = vec![Vec::new(); node.outputs.len()];
        for index in 0..self.count {
            let inputs = node.inputs.iter().map(|&input| self.entry(input, index)).collect();
            let shapes = node.outputs.iter().map(|&output| self.shape(output)).collect();
            let made = self.shaped_like(node, node.op.clone(), inputs, shapes);
            for ((results, value), &output) in results.iter_mut().zip(made).zip(&node.outputs) {
                let mut shape = self.shape(output);
                shape.insert(0, 1);
                results.push(self.reshape(value, &shape));
            }
        }
        let joined = results.into_iter().zip(&node.outputs).map(|(parts, &output)| {
            let shape = self.with_axis(output, 0);
            Stacked { value: self.emit(Op::Cat(0), parts, &shape, output), axis: 0 }
        });
        joined.collect()
    }

    /// What a value is for one of the vectors.
    fn entry(&mut self, value: ValueId, index: usize) -> ValueId {
        let Some(Stacked { value: stacked, axis }) = self.find(value) else {
            return value;
        };
        let mut shape = self.shape(stacked);
        shape[axis] = 1;
        let mut slices = vec![Slice::full(); axis];
        slices.push(Slice::from(index..index + 1));
        let part = self.emit(Op::Slice(slices), vec![stacked], &shape, stacked);
        let own = self.shape(value);
        self.reshape(part, &own)
    }

    fn value(&mut self, shape: Vec<usize>, like: ValueId) -> ValueId {
        let dtype = self.graph.value(like).dtype;
        self.graph.values.push(ValueType { shape: Shape::from(shape), dtype });
        ValueId::new(self.graph.values.len() - 1)
    }

    /// Remembers which results do not lie in the order of their indices.
    fn note(&mut self, op: &Op, inputs: &[ValueId], outputs: &[ValueId]) {
        let scatters = match op {
            Op::Expand | Op::Permute(_) | Op::SwapDims(..) | Op::Flip(_) => true,
            Op::Slice(_) | Op::Unfold { .. } => true,
            Op::Cast | Op::StopGradient => inputs.iter().any(|&input| !self.is_stored(input)),
            _ => false,
        };
        if scatters {
            self.scattered.extend(outputs);
        }
    }
}
