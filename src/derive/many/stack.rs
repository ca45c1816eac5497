//! A program half rewritten for several vectors: the values with a leading axis, and the operations on them.

use std::collections::{BTreeSet, HashMap};

use burn_backend::{Shape, Slice};

use crate::graph::{Binary, Graph, Kind, Node, Op, ValueId, ValueType};

/// A program half rewritten.
pub(super) struct Stack<'a> {
    /// The program for one vector.
    source: &'a Graph,
    /// The program for several; its values begin with those of the source.
    graph: Graph,
    /// Number of vectors.
    count: usize,
    /// For each value that depends on a vector: the one with a leading axis.
    stacked: HashMap<ValueId, ValueId>,
    /// What a reshaped value was before.
    reshaped: HashMap<ValueId, ValueId>,
    /// Views whose elements do not lie in the order of their indices.
    turned: BTreeSet<ValueId>,
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
            turned: BTreeSet::new(),
            one_by_one: BTreeSet::new(),
        }
    }

    /// Declares the vectors that stand for an input.
    pub fn input(&mut self, input: ValueId) -> ValueId {
        let shape = self.with_axis(input);
        let value = self.value(shape, input);
        self.stacked.insert(input, value);
        value
    }

    /// Writes an operation: as it is, for all vectors at once, or for one after another.
    pub fn visit(&mut self, node: &Node) {
        if !node.inputs.iter().any(|&input| self.varies(input)) {
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

    pub fn finish(self, inputs: Vec<ValueId>, outputs: Vec<ValueId>) -> Graph {
        let mut graph = self.graph;
        (graph.inputs, graph.outputs) = (inputs, outputs);
        graph.one_by_one = self.one_by_one.into_iter().collect();
        graph.without_dead_code().without_common_subexpressions().without_dead_code()
    }

    /// Number of vectors.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether a value of the source depends on a vector.
    pub fn varies(&self, value: ValueId) -> bool {
        self.stacked.contains_key(&value)
    }

    /// Float, int or bool.
    pub fn kind(&self, value: ValueId) -> Kind {
        self.graph.value(value).kind()
    }

    /// Shape of a value.
    pub fn shape(&self, value: ValueId) -> Vec<usize> {
        self.graph.value(value).shape.to_vec()
    }

    /// Shape of a value of the source with the leading axis.
    pub fn with_axis(&self, value: ValueId) -> Vec<usize> {
        let own = self.source.value(value).shape.iter().copied();
        std::iter::once(self.count).chain(own).collect()
    }

    /// Whether a value is a view whose elements lie in another order.
    pub fn is_turned(&self, value: ValueId) -> bool {
        self.turned.contains(&value)
    }

    /// A value of the source with an axis in front: that of the vectors, or of size one where it depends on none. Further
    /// dimensions of size one follow up to a rank.
    pub fn lifted(&mut self, value: ValueId, rank: usize) -> ValueId {
        let (from, axis) = match self.stacked.get(&value) {
            Some(&stacked) => (stacked, self.count),
            None => (value, 1),
        };
        let own = self.source.value(value).shape.to_vec();
        let missing = rank.saturating_sub(own.len() + 1);
        let shape = [axis].into_iter().chain(std::iter::repeat_n(1, missing)).chain(own);
        let shape: Vec<usize> = shape.collect();
        self.reshape(from, &shape)
    }

    /// A value of the source with the axis of the vectors in front; broadcast where it depends on none.
    pub fn full(&mut self, value: ValueId) -> ValueId {
        if let Some(&stacked) = self.stacked.get(&value) {
            return stacked;
        }
        let lifted = self.lifted(value, 0);
        let shape = self.with_axis(value);
        self.expand(lifted, &shape)
    }

    /// An operation with results like those of a node, with the axis of the vectors in front.
    pub fn like(&mut self, node: &Node, op: Op, inputs: Vec<ValueId>) -> Vec<ValueId> {
        let shapes = node.outputs.iter().map(|&output| self.with_axis(output)).collect();
        self.shaped_like(node, op, inputs, shapes)
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

    /// A value in another shape; reshapes of reshapes are one.
    pub fn reshape(&mut self, value: ValueId, shape: &[usize]) -> ValueId {
        let source = *self.reshaped.get(&value).unwrap_or(&value);
        if self.shape(source) == shape {
            return source;
        }
        let output = self.emit(Op::Reshape, vec![source], shape, source);
        self.reshaped.insert(output, source);
        output
    }

    pub fn expand(&mut self, value: ValueId, shape: &[usize]) -> ValueId {
        if self.shape(value) == shape {
            return value;
        }
        self.emit(Op::Expand, vec![value], shape, value)
    }

    pub fn permute(&mut self, value: ValueId, axes: Vec<usize>) -> ValueId {
        if axes.iter().enumerate().all(|(at, &axis)| at == axis) {
            return value;
        }
        let shape = self.shape(value);
        let shape: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
        self.emit(Op::Permute(axes), vec![value], &shape, value)
    }

    /// A float value stored in the order of its indices, as not every operation takes a view: a product with ones.
    pub fn stored(&mut self, value: ValueId) -> ValueId {
        let shape = self.shape(value);
        let ones = self.emit(Op::Ones, vec![], &shape, value);
        self.emit(Op::Binary(Binary::Mul), vec![ones, value], &shape, value)
    }

    /// A value with its leading axis merged into the dimension that follows `at` others: `[k, a, b]` becomes `[a, k·b]`
    /// for 1.
    pub fn merged(&mut self, value: ValueId, at: usize) -> ValueId {
        let rank = self.shape(value).len();
        let axes = (1..=at).chain([0]).chain(at + 1..rank).collect();
        let moved = self.permute(value, axes);
        let mut shape = self.shape(moved);
        let axis = shape.remove(at);
        shape[at] *= axis;
        self.reshape(moved, &shape)
    }

    /// The inverse: a value of the shape of `output` whose dimension `at` holds all vectors, with these in front.
    pub fn parted(&mut self, value: ValueId, at: usize, output: ValueId) -> ValueId {
        let mut shape = self.source.value(output).shape.to_vec();
        let rank = shape.len();
        shape.insert(at, self.count);
        let parted = self.reshape(value, &shape);
        self.permute(parted, [at].into_iter().chain(0..at).chain(at + 1..=rank).collect())
    }

    /// The node for one vector after another.
    fn each(&mut self, node: &Node) -> Vec<ValueId> {
        let mut results: Vec<Vec<ValueId>> = vec![Vec::new(); node.outputs.len()];
        for index in 0..self.count {
            let inputs = node.inputs.iter().map(|&input| self.entry(input, index)).collect();
            let made: Vec<ValueId> = node
                .outputs
                .iter()
                .map(|&output| self.value(self.source.value(output).shape.to_vec(), output))
                .collect();
            let op = node.op.clone();
            self.graph.nodes.push(Node { op, inputs, outputs: made.clone() });
            for (results, (value, &output)) in
                results.iter_mut().zip(made.iter().zip(&node.outputs))
            {
                let mut shape = self.with_axis(output);
                shape[0] = 1;
                results.push(self.reshape(*value, &shape));
            }
        }
        let joined = results.into_iter().zip(&node.outputs);
        joined
            .map(|(parts, &output)| {
                let shape = self.with_axis(output);
                self.emit(Op::Cat(0), parts, &shape, output)
            })
            .collect()
    }

    /// What a value is for one of the vectors.
    fn entry(&mut self, value: ValueId, index: usize) -> ValueId {
        let Some(&stacked) = self.stacked.get(&value) else {
            return value;
        };
        let mut shape = self.shape(stacked);
        shape[0] = 1;
        let part = Op::Slice(vec![Slice::from(index..index + 1)]);
        let part = self.emit(part, vec![stacked], &shape, stacked);
        self.reshape(part, &shape[1..])
    }

    fn value(&mut self, shape: Vec<usize>, like: ValueId) -> ValueId {
        let dtype = self.graph.value(like).dtype;
        self.graph.values.push(ValueType { shape: Shape::from(shape), dtype });
        ValueId::new(self.graph.values.len() - 1)
    }

    /// Remembers which results are turned views.
    fn note(&mut self, op: &Op, inputs: &[ValueId], outputs: &[ValueId]) {
        let turns = matches!(op, Op::SwapDims(..) | Op::Permute(_) | Op::Expand);
        let passes =
            matches!(op, Op::Slice(_)) && inputs.iter().any(|&input| self.is_turned(input));
        if turns || passes {
            self.turned.extend(outputs);
        }
    }
}
