//! Signs carried to where they cost nothing, and means in one operation.
//!
//! ```text
//! a + (−b) → a − b      (−a)·b + c → c − a·b      c·(−a) → (−c)·a      ±(1/n)·Σ x → ±mean(x)
//! ```
//!
//! The rules of derivatives leave a negation for each difference and each mean that is subtracted. A negated value is kept as
//! what it is the negative of, through products, sums and rearrangements, until a sum, a literal or a second sign takes it.

use std::collections::{HashMap, HashSet};

use crate::graph::{Binary, Graph, Kind, Literal, Node, Op, Reduction, Unary, ValueId};

/// The program with signs in sums and means in place of scaled sums, as far as values depend on the inputs at the given
/// positions. As it is if that takes no fewer operations.
#[must_use]
pub(crate) fn signs_into_sums(graph: Graph, varying: &[usize]) -> Graph {
    let inputs = varying.iter().filter_map(|&index| graph.inputs.get(index));
    let inputs: Vec<ValueId> = inputs.copied().collect();
    let mut mover = Mover {
        varies: graph.dependents(&inputs),
        readers: graph.readers(),
        graph: graph.clone(),
        minus: HashMap::new(),
        same_as: HashMap::new(),
        sums: HashMap::new(),
    };
    for node in std::mem::take(&mut mover.graph.nodes) {
        mover.visit(node);
    }
    let moved = mover.finish();
    let late = |graph: &Graph| {
        let varies = graph.dependents(&inputs);
        graph.nodes.iter().filter(|node| node.outputs.iter().any(|v| varies.contains(v))).count()
    };
    if late(&moved) < late(&graph) { moved } else { graph }
}

/// A program being rewritten.
struct Mover {
    /// The program; its nodes are those already rewritten.
    graph: Graph,
    varies: HashSet<ValueId>,
    readers: HashMap<ValueId, usize>,
    /// Values that nothing writes yet, by what they are the negative of.
    minus: HashMap<ValueId, ValueId>,
    /// Values replaced by others.
    same_as: HashMap<ValueId, ValueId>,
    /// What a value is the sum of, and along which dimension.
    sums: HashMap<ValueId, (ValueId, usize)>,
}

impl Mover {
    fn visit(&mut self, mut node: Node) {
        for input in &mut node.inputs {
            *input = *self.same_as.get(input).unwrap_or(input);
        }
        let moved = match node.outputs[..] {
            [output] if self.varies.contains(&output) && self.is_float(output) => {
                self.moved(&node, output)
            }
            _ => None,
        };
        if moved.is_some() {
            return;
        }
        node.inputs.iter().for_each(|&input| self.write(input));
        if let (Op::ReduceDim(Reduction::Sum, dim), &[value], &[output]) =
            (&node.op, &node.inputs[..], &node.outputs[..])
        {
            self.sums.insert(output, (value, *dim));
        }
        self.graph.nodes.push(node);
    }

    fn moved(&mut self, node: &Node, output: ValueId) -> Option<()> {
        match (&node.op, &node.inputs[..]) {
            (Op::Unary(Unary::Neg), &[value]) => {
                match self.minus.get(&value) {
                    Some(&source) => self.same_as.insert(output, source),
                    None => self.minus.insert(output, value),
                };
                Some(())
            }
            (Op::BinaryScalar(Binary::Mul, number), &[value]) => {
                self.scaled(value, number.as_f64(), output)
            }
            (Op::Binary(Binary::Add), &[left, right]) => self.sum([left, right], false, output),
            (Op::Binary(Binary::Sub), &[left, right]) => self.sum([left, right], true, output),
            (Op::Binary(Binary::Mul) | Op::Matmul, &[left, right]) => {
                self.product(&node.op, [left, right], output)
            }
            (op, &[value]) if keeps_signs(op) => {
                let source = *self.minus.get(&value)?;
                self.negative(op.clone(), vec![source], output);
                Some(())
            }
            _ => None,
        }
    }

    /// `number·value`: a mean if `value` is a sum that nothing else reads.
    fn scaled(&mut self, value: ValueId, number: f64, output: ValueId) -> Option<()> {
        let source = self.minus.get(&value).copied();
        let sum = self.sums.get(&source.unwrap_or(value)).copied();
        let sum = sum.filter(|_| self.readers.get(&value) == Some(&1));
        let share = |(of, dim): (ValueId, usize)| 1.0 / self.graph.value(of).shape[dim] as f64;
        match sum.filter(|&sum| number.abs() == share(sum)) {
            Some((of, dim)) => {
                let mean = Op::ReduceDim(Reduction::Mean, dim);
                if (number < 0.0) == source.is_some() {
                    self.graph.append_to(mean, vec![of], output);
                } else {
                    self.negative(mean, vec![of], output);
                }
            }
            None => {
                let scale = Op::BinaryScalar(Binary::Mul, Literal::Float(-number));
                self.graph.append_to(scale, vec![source?], output);
            }
        }
        Some(())
    }

    fn sum(&mut self, pair: [ValueId; 2], subtracts: bool, output: ValueId) -> Option<()> {
        let [left, right] = pair.map(|value| self.minus.get(&value).copied());
        let positive = [left.unwrap_or(pair[0]), right.unwrap_or(pair[1])];
        let [first, second] = positive;
        match (left.is_some(), right.is_some() != subtracts) {
            _ if (left, right) == (None, None) => return None,
            (false, false) => self.write_sum(Binary::Add, [first, second], output),
            (false, true) => self.write_sum(Binary::Sub, [first, second], output),
            (true, false) => self.write_sum(Binary::Sub, [second, first], output),
            (true, true) => {
                self.negative(Op::Binary(Binary::Add), positive.to_vec(), output);
            }
        }
        Some(())
    }

    fn write_sum(&mut self, function: Binary, pair: [ValueId; 2], output: ValueId) {
        self.graph.append_to(Op::Binary(function), pair.to_vec(), output);
    }

    fn product(&mut self, op: &Op, pair: [ValueId; 2], output: ValueId) -> Option<()> {
        let signs = pair.map(|value| self.minus.get(&value).copied());
        let [left, right] = signs;
        let inputs = vec![left.unwrap_or(pair[0]), right.unwrap_or(pair[1])];
        match signs.iter().flatten().count() {
            0 => return None,
            1 => self.negative(op.clone(), inputs, output),
            _ => self.graph.append_to(op.clone(), inputs, output),
        }
        Some(())
    }

    /// `output` is the negative of an operation's result.
    fn negative(&mut self, op: Op, inputs: Vec<ValueId>, output: ValueId) {
        let ty = self.graph.value(output).clone();
        let sum = match (&op, &inputs[..]) {
            (Op::ReduceDim(Reduction::Sum, dim), &[value]) => Some((value, *dim)),
            _ => None,
        };
        let source = self.graph.append(op, inputs, ty);
        self.sums.extend(sum.map(|sum| (source, sum)));
        self.minus.insert(output, source);
    }

    /// Writes a value that was kept as the negative of another.
    fn write(&mut self, value: ValueId) {
        if let Some(source) = self.minus.remove(&value) {
            self.graph.append_to(Op::Unary(Unary::Neg), vec![source], value);
        }
    }

    fn is_float(&self, value: ValueId) -> bool {
        self.graph.value(value).kind() == Kind::Float
    }

    fn finish(mut self) -> Graph {
        for index in 0..self.graph.outputs.len() {
            let output = self.graph.outputs[index];
            let output = *self.same_as.get(&output).unwrap_or(&output);
            self.write(output);
            self.graph.outputs[index] = output;
        }
        self.graph.without_dead_code()
    }
}

/// Whether an operation of one operand commutes with a change of the sign.
fn keeps_signs(op: &Op) -> bool {
    matches!(
        op,
        Op::Reduce(Reduction::Sum | Reduction::Mean)
            | Op::ReduceDim(Reduction::Sum | Reduction::Mean, _)
            | Op::SumDims(_)
            | Op::Reshape
            | Op::SwapDims(..)
            | Op::Permute(_)
            | Op::Expand
            | Op::Slice(_)
    )
}
