//! Removes operations that change nothing: factors of one, terms of zero, movements that move nothing.
//!
//! Differentiation leaves many of these behind. Every rule holds for each number exactly, infinities and NaN
//! included; so `x · 0` is left alone.

use std::collections::HashMap;

use super::{Binary, Graph, Node, Op, Reduction, Unary, ValueId};

/// What is known of the values so far.
struct Facts {
    /// Values that are another value.
    same_as: HashMap<ValueId, ValueId>,
    /// Values that hold one number everywhere.
    filled_with: HashMap<ValueId, f64>,
    /// The operation that made a value, for rules that look one step back.
    made_by: HashMap<ValueId, Node>,
}

/// What becomes of a node.
enum Outcome {
    Keep(Node),
    Alias(ValueId),
}

impl Graph {
    /// Without operations that change nothing.
    #[must_use]
    pub fn simplified(mut self) -> Self {
        let mut facts = Facts {
            same_as: HashMap::new(),
            filled_with: HashMap::new(),
            made_by: HashMap::new(),
        };
        let mut kept = Vec::with_capacity(self.nodes.len());
        for mut node in std::mem::take(&mut self.nodes) {
            for input in &mut node.inputs {
                *input = *facts.same_as.get(input).unwrap_or(input);
            }
            let [output] = node.outputs[..] else {
                kept.push(node);
                continue;
            };
            match self.simplify_node(node, output, &facts) {
                Outcome::Alias(value) => {
                    facts.same_as.insert(output, value);
                }
                Outcome::Keep(node) => {
                    if let Some(number) = fill(&node, &facts) {
                        facts.filled_with.insert(output, number);
                    }
                    facts.made_by.insert(output, node.clone());
                    kept.push(node);
                }
            }
        }
        self.nodes = kept;
        for output in &mut self.outputs {
            *output = *facts.same_as.get(output).unwrap_or(output);
        }
        self
    }

    fn simplify_node(&self, node: Node, output: ValueId, facts: &Facts) -> Outcome {
        match node.op {
            Op::Binary(op) => self.simplify_binary(op, node, output, facts),
            Op::BinaryScalar(op, literal) if is_neutral(op, literal.as_f64()) => {
                self.alias_if_same_type(node, output)
            }
            Op::Reshape | Op::Permute(_) | Op::SwapDims(..) | Op::Expand | Op::Cast => {
                self.simplify_movement(node, output, facts)
            }
            Op::ReduceDim(
                Reduction::Sum | Reduction::Mean | Reduction::Max | Reduction::Min,
                _,
            )
            | Op::Reduce(Reduction::Sum | Reduction::Mean | Reduction::Max | Reduction::Min)
            | Op::SumDims(_) => self.alias_if_same_type(node, output),
            Op::Unary(Unary::Neg) => match facts.made_by.get(&node.inputs[0]) {
                Some(Node {
                    op: Op::Unary(Unary::Neg),
                    inputs,
                    ..
                }) => Outcome::Alias(inputs[0]),
                _ => Outcome::Keep(node),
            },
            _ => Outcome::Keep(node),
        }
    }

    /// The node's first input in its place, where it has the output's type.
    fn alias_if_same_type(&self, node: Node, output: ValueId) -> Outcome {
        match self.value(node.inputs[0]) == self.value(output) {
            true => Outcome::Alias(node.inputs[0]),
            false => Outcome::Keep(node),
        }
    }

    fn simplify_binary(
        &self,
        op: Binary,
        mut node: Node,
        output: ValueId,
        facts: &Facts,
    ) -> Outcome {
        let [left, right] = node.inputs[..] else {
            return Outcome::Keep(node);
        };
        let keeps_type = |value: ValueId| self.value(value) == self.value(output);
        let commutes = matches!(op, Binary::Add | Binary::Mul);
        let filled = |value: ValueId| facts.filled_with.get(&value).copied();
        let (operand, number) = match (filled(left), filled(right)) {
            (_, Some(number)) if keeps_type(left) => (left, number),
            (Some(number), _) if commutes && keeps_type(right) => (right, number),
            _ => return Outcome::Keep(node),
        };
        if is_neutral(op, number) {
            return Outcome::Alias(operand);
        }
        let is_float = self.value(output).dtype.is_float();
        if is_float && matches!(op, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div) {
            node.op = Op::BinaryScalar(op, super::Literal::Float(number));
            node.inputs = vec![operand];
        }
        Outcome::Keep(node)
    }

    fn simplify_movement(&self, mut node: Node, output: ValueId, facts: &Facts) -> Outcome {
        let moves_nothing = match &node.op {
            Op::Permute(axes) => axes
                .iter()
                .enumerate()
                .all(|(position, &axis)| position == axis),
            Op::SwapDims(a, b) => a == b,
            _ => self.value(node.inputs[0]) == self.value(output),
        };
        if moves_nothing {
            return Outcome::Alias(node.inputs[0]);
        }
        if let Some(before) = facts.made_by.get(&node.inputs[0]) {
            match (&node.op, &before.op) {
                (Op::Reshape, Op::Reshape) | (Op::Expand, Op::Expand) => {
                    node.inputs = before.inputs.clone();
                    if self.value(node.inputs[0]) == self.value(output) {
                        return Outcome::Alias(node.inputs[0]);
                    }
                }
                (Op::SwapDims(a, b), Op::SwapDims(c, d))
                    if (a.min(b), a.max(b)) == (c.min(d), c.max(d)) =>
                {
                    return Outcome::Alias(before.inputs[0]);
                }
                _ => {}
            }
        }
        Outcome::Keep(node)
    }
}

/// Whether `x ∘ number` is `x`.
fn is_neutral(op: Binary, number: f64) -> bool {
    match op {
        Binary::Add | Binary::Sub => number == 0.0,
        Binary::Mul | Binary::Div => number == 1.0,
        _ => false,
    }
}

/// The one number a node's output holds everywhere, where that is known.
fn fill(node: &Node, facts: &Facts) -> Option<f64> {
    match &node.op {
        Op::Zeros => Some(0.0),
        Op::Ones => Some(1.0),
        Op::Full(literal) => Some(literal.as_f64()),
        Op::Reshape | Op::Expand | Op::Permute(_) | Op::SwapDims(..) | Op::Slice(_) => {
            facts.filled_with.get(&node.inputs[0]).copied()
        }
        Op::Unary(Unary::Neg) => facts.filled_with.get(&node.inputs[0]).map(|number| -number),
        Op::BinaryScalar(op, literal) => {
            let number = *facts.filled_with.get(&node.inputs[0])?;
            match op {
                Binary::Mul => Some(number * literal.as_f64()),
                Binary::Add => Some(number + literal.as_f64()),
                _ => None,
            }
        }
        _ => None,
    }
}
