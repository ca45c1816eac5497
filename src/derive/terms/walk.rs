//! The way from a loss back to its terms, through everything linear.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
};

use super::{
    Term, Terms,
    content::{contents, hash, uniform},
};
use crate::graph::{Binary, Graph, Kind, Node, Op, Reduction, Unary, ValueId};

/// Where the sum of a value's elements goes: c·Σ(elements of a value), with scalars that are no numbers here.
struct Step {
    value: ValueId,
    scale: f64,
    /// Identifies the scalars; 0 for none.
    factor: u64,
}

/// The way from a loss back to its terms.
pub(super) struct Walk<'a> {
    graph: &'a Graph,
    writers: HashMap<ValueId, &'a Node>,
    of_batch: HashSet<ValueId>,
    contents: HashMap<ValueId, u64>,
    /// The elements of values whose elements are all one number.
    uniform: HashMap<ValueId, f64>,
    literals: Vec<Term>,
}

impl<'a> Walk<'a> {
    pub fn new(graph: &'a Graph, batch: Range<usize>) -> Self {
        let outputs = |node: &'a Node| node.outputs.iter().map(move |&output| (output, node));
        Self {
            writers: graph.nodes().iter().flat_map(outputs).collect(),
            of_batch: graph.dependents(graph.inputs().get(batch).unwrap_or(&[])),
            contents: contents(graph),
            uniform: uniform(graph),
            literals: Vec::new(),
            graph,
        }
    }

    pub fn terms(mut self, loss: ValueId) -> Terms {
        let mut found: HashMap<ValueId, BTreeMap<u64, f64>> = HashMap::new();
        found.entry(loss).or_default().insert(0, 1.0);
        for node in self.graph.nodes().iter().rev() {
            let [output] = node.outputs[..] else { continue };
            let Some(scales) = found.get(&output).cloned() else { continue };
            let Some(steps) = self.steps(node, output) else { continue };
            found.remove(&output);
            for (factor, scale) in scales {
                for step in &steps {
                    let factors = found.entry(step.value).or_default();
                    *factors.entry(factor.wrapping_add(step.factor)).or_default() +=
                        scale * step.scale;
                }
                self.add_literal(node, output, scale);
            }
        }
        let literals = std::mem::take(&mut self.literals);
        let mut terms =
            Terms { of_batch: Vec::new(), others: Vec::new(), literals, values: Vec::new() };
        for (value, scales) in found {
            if self.of_batch.contains(&value) {
                terms.values.push(value);
            }
            for (factor, scale) in scales {
                let terms = if self.of_batch.contains(&value) {
                    &mut terms.of_batch
                } else {
                    &mut terms.others
                };
                terms.push(self.term(value, factor, scale));
            }
        }
        for terms in [&mut terms.of_batch, &mut terms.others, &mut terms.literals] {
            *terms = merged(std::mem::take(terms));
        }
        terms
    }

    fn term(&self, value: ValueId, factor: u64, scale: f64) -> Term {
        let writer = self.writers.get(&value);
        let content = self.contents.get(&value).copied().unwrap_or_default();
        Term {
            scale,
            content: hash(&(content, factor)),
            elements: self.elements(value),
            value,
            operation: writer.map_or_else(|| "Input".into(), |node| node.op.name()),
            divides: writer.is_some_and(|node| {
                node.op == Op::Binary(Binary::Div) && self.of_batch.contains(&node.inputs[1])
            }),
        }
    }

    /// A literal that a node adds to every element of its output.
    fn add_literal(&mut self, node: &Node, output: ValueId, scale: f64) {
        let added = match node.op {
            Op::BinaryScalar(Binary::Add, literal) => literal.as_f64(),
            Op::BinaryScalar(Binary::Sub, literal) => -literal.as_f64(),
            _ => return,
        };
        let term = self.term(output, 0, scale * added);
        self.literals.push(Term { divides: false, ..term });
    }

    /// The sum of a node's output as sums of its inputs; `None` if it is not linear in them.
    fn steps(&self, node: &Node, output: ValueId) -> Option<Vec<Step>> {
        if !self.of_batch.contains(&output) {
            return None;
        }
        let &x = node.inputs.first()?;
        // Every element of an input that is broadcast counts as often as it is read.
        let spread = |value: ValueId| self.elements(output) as f64 / self.elements(value) as f64;
        let step = |value: ValueId, scale: f64| Step { value, scale, factor: 0 };
        match &node.op {
            Op::Reshape | Op::SwapDims(..) | Op::Permute(_) | Op::Flip(_) => {
                Some(vec![step(x, 1.0)])
            }
            Op::Cast if self.graph.value(x).kind() == Kind::Float => Some(vec![step(x, 1.0)]),
            Op::Reduce(Reduction::Sum) | Op::ReduceDim(Reduction::Sum, _) | Op::SumDims(_) => {
                Some(vec![step(x, 1.0)])
            }
            Op::Reduce(Reduction::Mean) | Op::ReduceDim(Reduction::Mean, _) => {
                Some(vec![step(x, spread(x))])
            }
            Op::Expand | Op::RepeatDim { .. } => Some(vec![step(x, spread(x))]),
            Op::Unary(Unary::Neg) => Some(vec![step(x, -1.0)]),
            Op::BinaryScalar(Binary::Add | Binary::Sub, _) => Some(vec![step(x, 1.0)]),
            Op::BinaryScalar(Binary::Mul, literal) => Some(vec![step(x, literal.as_f64())]),
            Op::BinaryScalar(Binary::Div, literal) => Some(vec![step(x, literal.as_f64().recip())]),
            Op::Binary(op @ (Binary::Add | Binary::Sub)) => {
                let &y = node.inputs.get(1)?;
                let sign = if *op == Binary::Add { 1.0 } else { -1.0 };
                Some(vec![step(x, spread(x)), step(y, sign * spread(y))])
            }
            Op::Binary(op @ (Binary::Mul | Binary::Div)) => {
                let &y = node.inputs.get(1)?;
                let swaps = *op == Binary::Mul && !self.of_batch.contains(&x);
                let (x, y) = if swaps { (y, x) } else { (x, y) };
                let (scale, factor) = self.scalar(y, *op == Binary::Div)?;
                Some(vec![Step { value: x, scale: scale * spread(x), factor }])
            }
            _ => None,
        }
    }

    /// A value that multiplies or divides all elements alike: a number, or something that identifies a scalar.
    fn scalar(&self, value: ValueId, divides: bool) -> Option<(f64, u64)> {
        if let Some(&number) = self.uniform.get(&value) {
            return Some((if divides { number.recip() } else { number }, 0));
        }
        if self.of_batch.contains(&value) || self.elements(value) != 1 {
            return None;
        }
        Some((1.0, hash(&(self.contents.get(&value), divides))))
    }

    fn elements(&self, value: ValueId) -> usize {
        self.graph.value(value).shape.num_elements()
    }
}

/// Terms in the order of their contents, those with the same one added.
fn merged(terms: Vec<Term>) -> Vec<Term> {
    let mut merged: BTreeMap<(u64, usize), Term> = BTreeMap::new();
    for term in terms {
        let key = (term.content, term.elements);
        merged.entry(key).and_modify(|sum| sum.scale += term.scale).or_insert(term);
    }
    merged.into_values().collect()
}
