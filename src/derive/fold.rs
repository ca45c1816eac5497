//! Removes the arithmetic with zeros and ones that differentiation leaves in a recorded program.
//!
//! Burn's rules multiply by tensors of ones where they mean to broadcast and add zeros where a branch has no gradient;
//! the lowerings of smooth functions go through differences that are zero (see [`lower`](super::lower)). All of these
//! are found from values whose elements are known to be equal. Values are taken to be finite: zero times anything is
//! zero here. A value is processed before it is broadcast.

use std::collections::{HashMap, HashSet};

use burn_backend::Shape;

use crate::graph::{Binary, Graph, Kind, Literal, Node, Op, ValueId, ValueType};

pub(in crate::derive) mod broadcast;
mod convolution;
mod fixed;
mod gathered;
mod rounding;
mod rules;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use fixed::fixed_factors_first;
pub(crate) use gathered::factors_of_gathers;

/// What becomes of an operation.
enum Rewrite {
    /// It stays.
    Keep,
    /// Its output is another value.
    Same(ValueId),
    /// All elements of its output are equal.
    Uniform(f64),
    /// Another operation on these values gives the same.
    Replace(Op, Vec<ValueId>),
    /// Its output is a value times a scalar, broadcast.
    Scaled(ValueId, f64),
    /// Its output is an operation on smaller operands, with a result of this shape, broadcast.
    Small(Op, Vec<ValueId>, Shape),
    /// Its output is an operation on an image, an exchanged kernel and maybe a cotangent, exchanged.
    Turned { op: Op, image: ValueId, kernel: ValueId, cotangent: Option<ValueId> },
}

/// The program without arithmetic on known zeros and ones. Its inputs and outputs keep their order and types.
#[must_use]
pub(crate) fn fold(graph: Graph) -> Graph {
    let mut folder = Folder::new(graph);
    for node in std::mem::take(&mut folder.graph.nodes) {
        folder.visit(node);
    }
    folder.finish()
}

/// A program half rewritten.
struct Folder {
    /// The program; its nodes are those already rewritten.
    graph: Graph,
    /// Values replaced by others.
    same_as: HashMap<ValueId, ValueId>,
    /// Float values whose elements are all equal.
    uniform: HashMap<ValueId, f64>,
    /// Float values that are smaller ones, broadcast along dimensions of size one.
    broadcast: HashMap<ValueId, ValueId>,
    /// Which rewritten node writes a value.
    writer: HashMap<ValueId, usize>,
    /// Values that keep their rounding.
    deciding: HashSet<ValueId>,
}

impl Folder {
    fn new(graph: Graph) -> Self {
        let uniform = graph.constants.iter().filter_map(|constant| {
            let kind = graph.value(constant.value).kind();
            let elements = (kind == Kind::Float).then(|| constant.data.iter::<f64>())?;
            Some((constant.value, common_value(elements)?))
        });
        Self {
            uniform: uniform.collect(),
            same_as: HashMap::new(),
            broadcast: HashMap::new(),
            writer: HashMap::new(),
            deciding: rounding::deciding(&graph),
            graph,
        }
    }

    fn visit(&mut self, mut node: Node) {
        for input in &mut node.inputs {
            *input = *self.same_as.get(input).unwrap_or(input);
        }
        let [output] = node.outputs[..] else {
            return self.push(node);
        };
        if self.kind(output) != Kind::Float {
            return self.push(node);
        }
        match self.rewrite(&node, output) {
            Rewrite::Keep => {
                self.note_broadcast(&node.op, &node.inputs, output);
                self.push(node);
            }
            Rewrite::Same(value) => {
                self.same_as.insert(output, value);
            }
            Rewrite::Uniform(number) => {
                self.uniform.insert(output, number);
                self.emit(uniform_op(number), vec![], output);
            }
            Rewrite::Replace(op, inputs) => {
                self.note_broadcast(&op, &inputs, output);
                self.emit(op, inputs, output);
            }
            Rewrite::Scaled(value, factor) => self.scale(value, factor, output),
            Rewrite::Small(op, inputs, shape) => {
                let dtype = self.ty(output).dtype;
                let small = self.emit_new(op, inputs, ValueType { shape, dtype });
                self.spread(small, output);
            }
            Rewrite::Turned { op, image, kernel, cotangent } => {
                let kernel = self.turned(kernel);
                let inputs = [image, kernel].into_iter().chain(cotangent).collect();
                let result = self.emit_new(op, inputs, turned_type(self.ty(output)));
                self.emit(convolution::TURN, vec![result], output);
            }
        }
    }

    /// `output = value · factor`, multiplied before it is broadcast.
    fn scale(&mut self, value: ValueId, factor: f64, output: ValueId) {
        let op = Op::BinaryScalar(Binary::Mul, Literal::Float(factor));
        match (self.ty(value) == self.ty(output), factor == 1.0) {
            (true, true) => {
                self.same_as.insert(output, value);
            }
            (true, false) => self.emit(op, vec![value], output),
            (false, true) => self.spread(value, output),
            (false, false) => {
                let scaled = self.emit_new(op, vec![value], self.ty(value).clone());
                self.spread(scaled, output);
            }
        }
    }

    /// `output = small`, broadcast. Written as a product with ones: a result that is stored as it looks, which an
    /// expanded view is not. Elementwise readers will read `small` itself.
    fn spread(&mut self, small: ValueId, output: ValueId) {
        let small = self.behind(small);
        let ones = self.emit_new(Op::Ones, vec![], self.ty(output).clone());
        self.uniform.insert(ones, 1.0);
        self.emit(Op::Binary(Binary::Mul), vec![ones, small], output);
        self.broadcast.insert(output, small);
    }

    /// A value with its first two dimensions exchanged.
    fn turned(&mut self, value: ValueId) -> ValueId {
        match self.turned_from(value) {
            Some(source) => source,
            None => {
                let ty = turned_type(self.ty(value));
                self.emit_new(convolution::TURN, vec![value], ty)
            }
        }
    }

    fn emit_new(&mut self, op: Op, inputs: Vec<ValueId>, ty: ValueType) -> ValueId {
        self.graph.values.push(ty);
        let value = ValueId::new(self.graph.values.len() - 1);
        self.emit(op, inputs, value);
        value
    }

    fn emit(&mut self, op: Op, inputs: Vec<ValueId>, output: ValueId) {
        self.push(Node { op, inputs, outputs: vec![output] });
    }

    fn push(&mut self, node: Node) {
        for &output in &node.outputs {
            self.writer.insert(output, self.graph.nodes.len());
        }
        self.graph.nodes.push(node);
    }

    fn finish(mut self) -> Graph {
        for output in &mut self.graph.outputs {
            *output = *self.same_as.get(output).unwrap_or(output);
        }
        self.graph.without_dead_code()
    }

    fn ty(&self, value: ValueId) -> &ValueType {
        self.graph.value(value)
    }

    fn kind(&self, value: ValueId) -> Kind {
        self.ty(value).kind()
    }

    /// The operation that writes a value, if it writes nothing else.
    fn written_by(&self, value: ValueId) -> Option<&Node> {
        let node = self.graph.nodes.get(*self.writer.get(&value)?)?;
        (node.outputs.len() == 1).then_some(node)
    }
}

fn uniform_op(number: f64) -> Op {
    if number == 0.0 {
        Op::Zeros
    } else if number == 1.0 {
        Op::Ones
    } else {
        Op::Full(Literal::Float(number))
    }
}

fn turned_type(ty: &ValueType) -> ValueType {
    let mut ty = ty.clone();
    ty.shape.swap(0, 1);
    ty
}

/// The common value of all elements, if there is one.
fn common_value(mut elements: impl Iterator<Item = f64>) -> Option<f64> {
    let first = elements.next()?;
    elements.all(|element| element == first).then_some(first)
}
