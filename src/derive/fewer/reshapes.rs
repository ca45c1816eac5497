//! Reshapes moved past operations on elements and past reductions, where they meet others and vanish.
//!
//! A linear layer multiplies matrices, a norm or an activation works on sequences of them: each such change of the shape
//! is an operation to a device. An operation whose operands are reshaped from one shape works in that shape.

use std::collections::{HashMap, HashSet};

use burn_backend::Shape;

use crate::{
    derive::fold::broadcast::{groups, reshaped},
    graph::{Binary, Graph, Kind, Node, Op, ValueId, ValueType},
};

/// The program with operations that depend on the inputs at the given positions in the shape of what they read.
#[must_use]
pub(crate) fn reshapes_past_elements(mut graph: Graph, varying: &[usize]) -> Graph {
    let inputs = varying.iter().filter_map(|&index| graph.inputs.get(index));
    let inputs: Vec<ValueId> = inputs.copied().collect();
    let varies = graph.dependents(&inputs);
    let nodes = std::mem::take(&mut graph.nodes);
    let mut mover = Mover {
        copies: copies(&graph, &nodes),
        graph,
        varies,
        same_as: HashMap::new(),
        roots: HashMap::new(),
        forms: HashMap::new(),
    };
    for node in nodes {
        mover.visit(node);
    }
    let Mover { mut graph, same_as, .. } = mover;
    for output in &mut graph.outputs {
        *output = *same_as.get(output).unwrap_or(output);
    }
    graph.without_dead_code()
}

/// A program being rewritten.
struct Mover {
    /// The program; its nodes are those already rewritten.
    graph: Graph,
    varies: HashSet<ValueId>,
    /// Views that a reshape has to copy, with the shape to copy them in and the copy.
    copies: HashMap<ValueId, (Shape, Option<ValueId>)>,
    /// Values replaced by others.
    same_as: HashMap<ValueId, ValueId>,
    /// What a value is a reshape of.
    roots: HashMap<ValueId, ValueId>,
    /// The reshapes of a value.
    forms: HashMap<ValueId, Vec<ValueId>>,
}

impl Mover {
    fn visit(&mut self, mut node: Node) {
        for input in &mut node.inputs {
            *input = *self.same_as.get(input).unwrap_or(input);
        }
        let Node { op, inputs, outputs } = &node;
        if let (Op::Reshape, &[source], &[output]) = (op, &inputs[..], &outputs[..]) {
            let shape = self.shape(output).clone();
            let value = self.in_shape(source, &shape);
            self.same_as.insert(output, value);
            return;
        }
        if self.moved(&node).is_none() {
            self.graph.nodes.push(node);
        }
    }

    fn moved(&mut self, node: &Node) -> Option<()> {
        let &[output] = &node.outputs[..] else {
            return None;
        };
        let ty = self.graph.value(output);
        let elements = ty.shape.num_elements();
        if ty.kind() != Kind::Float || elements == 0 || !self.varies.contains(&output) {
            return None;
        }
        let (op, inputs, shape) = match &node.op {
            Op::ReduceDim(..) | Op::SumDims(_) => {
                self.reduction(&node.op, *node.inputs.first()?)?
            }
            op if by_element(op) => {
                let (inputs, shape) = self.elements(node, output)?;
                (op.clone(), inputs, shape)
            }
            _ => return None,
        };
        let ty = ValueType { shape, ..self.graph.value(output).clone() };
        let value = self.graph.append(op, inputs, ty);
        self.varies.insert(value);
        let original = self.shape(output).clone();
        let original = self.in_shape(value, &original);
        self.same_as.insert(output, original);
        Some(())
    }

    /// The operands and the shape that an operation on elements may work in instead of its own.
    fn elements(&mut self, node: &Node, output: ValueId) -> Option<(Vec<ValueId>, Shape)> {
        let own = self.shape(output).clone();
        let is_full = |value: ValueId| *self.shape(value) == own;
        let varying = node.inputs.iter().filter(|value| self.varies.contains(value));
        let (full, parts): (Vec<ValueId>, Vec<ValueId>) =
            varying.partition(|&&value| is_full(value));
        let mut roots: Vec<Shape> =
            full.iter().map(|&value| self.shape(self.root(value)).clone()).collect();
        if full.is_empty() {
            // A part that is broadcast by what does not vary.
            roots = parts.iter().filter_map(|&value| self.broadcast_root(value, &own)).collect();
        }
        let votes = |shape: &Shape| roots.iter().filter(|root| *root == shape).count();
        let rank = |shape: &Shape| (votes(shape), std::cmp::Reverse(shape.num_dims()));
        let best: Shape = (*roots.iter().max_by_key(|shape| rank(shape))?).clone();
        if best == own || rank(&best) <= rank(&own) {
            return None;
        }
        let shapes = node.inputs.iter().map(|&value| {
            let small = self.shape(value);
            let fits = small.num_dims() == own.num_dims();
            fits.then(|| reshaped(small, &own, &best)).flatten()
        });
        let shapes: Vec<Shape> = shapes.collect::<Option<_>>()?;
        let operands = node.inputs.iter().zip(&shapes);
        let operands: Vec<_> =
            operands.map(|(&value, shape)| self.in_shape(value, shape)).collect();
        Some((operands, best))
    }

    /// The shape of a result when an operand that is broadcast in it is read in the shape that it was computed in.
    fn broadcast_root(&self, value: ValueId, own: &Shape) -> Option<Shape> {
        let (small, root) = (self.shape(value), self.shape(self.root(value)));
        if small == root || small.num_dims() != own.num_dims() {
            return None;
        }
        let mut result: Vec<usize> = Vec::with_capacity(root.num_dims());
        for (from, to) in groups(small, root)? {
            match to.len() {
                1 => result.push(own[from].iter().product::<usize>()),
                _ if own[from.clone()] == small[from] => result.extend(root[to].iter().copied()),
                _ => return None,
            }
        }
        Some(Shape::from(result))
    }

    /// A reduction of what its operand is reshaped from, and the shape of its result.
    fn reduction(&self, op: &Op, value: ValueId) -> Option<(Op, Vec<ValueId>, Shape)> {
        let root = self.root(value);
        let (own, other) = (self.shape(value), self.shape(root));
        if own == other {
            return None;
        }
        let dims = match op {
            Op::ReduceDim(_, dim) => vec![*dim],
            Op::SumDims(dims) => dims.clone(),
            _ => return None,
        };
        let mut reduced = Vec::new();
        for (from, to) in groups(own, other)? {
            let inside = from.clone().filter(|dim| dims.contains(dim)).count();
            match inside {
                0 => {}
                _ if inside == from.len() => reduced.extend(to),
                _ => return None,
            }
        }
        let mut shape = other.clone();
        reduced.iter().for_each(|&dim| shape[dim] = 1);
        let op = match (op, &reduced[..]) {
            (Op::ReduceDim(reduction, _), &[dim]) => Op::ReduceDim(*reduction, dim),
            (Op::SumDims(_), [_, ..]) => Op::SumDims(reduced),
            _ => return None,
        };
        Some((op, vec![root], shape))
    }

    /// A value in another shape: one that exists, if possible.
    fn in_shape(&mut self, value: ValueId, shape: &Shape) -> ValueId {
        if self.shape(value) == shape {
            return value;
        }
        let root = self.contiguous(self.root(value));
        if self.shape(root) == shape {
            return root;
        }
        let forms = self.forms.get(&root).into_iter().flatten().copied();
        if let Some(form) = forms.into_iter().find(|&form| self.shape(form) == shape) {
            return form;
        }
        let form = self.reshape(root, shape.clone());
        self.roots.insert(form, root);
        self.forms.entry(root).or_default().push(form);
        form
    }

    /// The copy of a view that all its reshapes are reshapes of, or the value itself.
    fn contiguous(&mut self, value: ValueId) -> ValueId {
        let Some((shape, copy)) = self.copies.get(&value).cloned() else {
            return value;
        };
        copy.unwrap_or_else(|| {
            let copy = self.reshape(value, shape.clone());
            self.copies.insert(value, (shape, Some(copy)));
            copy
        })
    }

    fn reshape(&mut self, value: ValueId, shape: Shape) -> ValueId {
        let ty = ValueType { shape, ..self.graph.value(value).clone() };
        let reshaped = self.graph.append(Op::Reshape, vec![value], ty);
        if self.varies.contains(&value) {
            self.varies.insert(reshaped);
        }
        reshaped
    }

    fn root(&self, value: ValueId) -> ValueId {
        self.roots.get(&value).copied().unwrap_or(value)
    }

    fn shape(&self, value: ValueId) -> &Shape {
        &self.graph.value(value).shape
    }
}

/// Rearranged views, which a reshape has to copy: the shape with the fewest dimensions that one is reshaped to.
fn copies(graph: &Graph, nodes: &[Node]) -> HashMap<ValueId, (Shape, Option<ValueId>)> {
    let rearranges = |op: &Op| matches!(op, Op::SwapDims(..) | Op::Permute(_) | Op::Expand);
    let views = nodes.iter().filter(|node| rearranges(&node.op)).flat_map(|node| &node.outputs);
    let views: HashSet<ValueId> = views.copied().collect();
    let mut copies: HashMap<ValueId, (Shape, Option<ValueId>)> = HashMap::new();
    for node in nodes.iter().filter(|node| node.op == Op::Reshape) {
        if let (&[view], &[output]) = (&node.inputs[..], &node.outputs[..])
            && views.contains(&view)
        {
            let shape = &graph.value(output).shape;
            let (fewest, _) = copies.entry(view).or_insert_with(|| (shape.clone(), None));
            if shape.num_dims() < fewest.num_dims() {
                *fewest = shape.clone();
            }
        }
    }
    copies
}

/// Whether each element of the result depends on the operands' elements in its place alone.
fn by_element(op: &Op) -> bool {
    match op {
        Op::Unary(_) | Op::BinaryScalar(..) | Op::Clamp { .. } => true,
        Op::Binary(function) => {
            matches!(function, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div)
        }
        _ => false,
    }
}
