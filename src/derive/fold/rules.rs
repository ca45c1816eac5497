//! The rules, by kind of operation.

use burn_backend::tensor::IndexingUpdateOp;

use super::{Folder, Rewrite};
use crate::graph::{Binary, Cumulative, Kind, Literal, Node, Op, Reduction, Unary, ValueId};

impl Folder {
    /// What becomes of a node with one float output. Its inputs are already replaced.
    pub(super) fn rewrite(&self, node: &Node, output: ValueId) -> Rewrite {
        match self.known(node, output) {
            Rewrite::Keep => match self.smaller(node, output) {
                Rewrite::Keep => self.difference(&node.op, &node.inputs).unwrap_or(Rewrite::Keep),
                Rewrite::Replace(op, inputs) => {
                    let difference = self.difference(&op, &inputs);
                    difference.unwrap_or(Rewrite::Replace(op, inputs))
                }
                rewrite => rewrite,
            },
            rewrite => rewrite,
        }
    }

    /// `a + (−b)`, `(−b) + a` and `a − (−b)` in one operation.
    fn difference(&self, op: &Op, inputs: &[ValueId]) -> Option<Rewrite> {
        let (Op::Binary(function), &[left, right]) = (op, inputs) else {
            return None;
        };
        let minus = |value: ValueId| match self.written_by(value) {
            Some(Node { op: Op::Unary(Unary::Neg), inputs, .. }) => inputs.first().copied(),
            _ => None,
        };
        let (function, pair) = match (function, minus(left), minus(right)) {
            (Binary::Add, _, Some(source)) => (Binary::Sub, vec![left, source]),
            (Binary::Add, Some(source), None) => (Binary::Sub, vec![right, source]),
            (Binary::Sub, _, Some(source)) => (Binary::Add, vec![left, source]),
            _ => return None,
        };
        Some(Rewrite::Replace(Op::Binary(function), pair))
    }

    /// Rules for operands with a known uniform value.
    fn known(&self, node: &Node, output: ValueId) -> Rewrite {
        match (&node.op, &node.inputs[..]) {
            (Op::Zeros, _) => Rewrite::Uniform(0.0),
            (Op::Ones, _) => Rewrite::Uniform(1.0),
            (Op::Full(number), _) => Rewrite::Uniform(number.as_f64()),
            (Op::Binary(function), &[left, right]) => self.binary(*function, left, right, output),
            (Op::BinaryScalar(function, number), &[value]) => {
                self.scalar(*function, value, *number, output)
            }
            (Op::Unary(Unary::Neg), &[value]) => self.negated(value),
            (Op::Matmul, &[left, right]) if self.is(left, 0.0) || self.is(right, 0.0) => {
                Rewrite::Uniform(0.0)
            }
            (Op::ConvBackward(..), _) => self.weight_gradient(node),
            (op, &[value]) if is_reduction(op) => self.reduction(op, value, output),
            (op, inputs) if is_write(op) => self.write(op, inputs),
            (op, inputs) if is_movement(op) => self.movement(op, inputs, output),
            _ => Rewrite::Keep,
        }
    }

    fn is(&self, value: ValueId, number: f64) -> bool {
        self.uniform.get(&value) == Some(&number)
    }

    fn binary(&self, function: Binary, left: ValueId, right: ValueId, output: ValueId) -> Rewrite {
        match function {
            Binary::Sub if left == right => Rewrite::Uniform(0.0),
            Binary::Add | Binary::Sub if self.is(right, 0.0) => Rewrite::Scaled(left, 1.0),
            Binary::Add if self.is(left, 0.0) => Rewrite::Scaled(right, 1.0),
            Binary::Sub if self.is(left, 0.0) && self.ty(right) == self.ty(output) => {
                Rewrite::Replace(Op::Unary(Unary::Neg), vec![right])
            }
            Binary::Mul if self.is(left, 0.0) || self.is(right, 0.0) => Rewrite::Uniform(0.0),
            Binary::Div if self.is(left, 0.0) => Rewrite::Uniform(0.0),
            Binary::Mul => match (self.uniform.get(&left), self.uniform.get(&right)) {
                (Some(a), Some(b)) => Rewrite::Uniform(a * b),
                (Some(&factor), None) => Rewrite::Scaled(right, factor),
                (None, Some(&factor)) => Rewrite::Scaled(left, factor),
                (None, None) => Rewrite::Keep,
            },
            _ => Rewrite::Keep,
        }
    }

    fn scalar(
        &self,
        function: Binary,
        value: ValueId,
        number: Literal,
        output: ValueId,
    ) -> Rewrite {
        let number = number.as_f64();
        let neutral = match function {
            Binary::Add | Binary::Sub => number == 0.0,
            Binary::Mul | Binary::Div => number == 1.0,
            _ => false,
        };
        if neutral {
            return Rewrite::Same(value);
        }
        if function != Binary::Mul {
            return Rewrite::Keep;
        }
        if number == 0.0 {
            return Rewrite::Uniform(0.0);
        }
        if let Some(known) = self.uniform.get(&value) {
            return Rewrite::Uniform(known * number);
        }
        match self.written_by(value).map(|node| (&node.op, &node.inputs[..])) {
            Some((Op::BinaryScalar(Binary::Mul, before), &[source]))
                if !self.deciding.contains(&output) =>
            {
                let both = Literal::Float(before.as_f64() * number);
                Rewrite::Replace(Op::BinaryScalar(Binary::Mul, both), vec![source])
            }
            Some((Op::Unary(Unary::Neg), &[source])) => Rewrite::Replace(
                Op::BinaryScalar(Binary::Mul, Literal::Float(-number)),
                vec![source],
            ),
            _ => Rewrite::Keep,
        }
    }

    fn negated(&self, value: ValueId) -> Rewrite {
        if let Some(known) = self.uniform.get(&value) {
            return Rewrite::Uniform(-known);
        }
        match self.written_by(value).map(|node| (&node.op, &node.inputs[..])) {
            Some((Op::Unary(Unary::Neg), &[source])) => Rewrite::Same(source),
            Some((Op::BinaryScalar(Binary::Mul, factor), &[source])) => {
                let factor = Literal::Float(-factor.as_f64());
                Rewrite::Replace(Op::BinaryScalar(Binary::Mul, factor), vec![source])
            }
            _ => Rewrite::Keep,
        }
    }

    /// Sums of zeros, and reductions of what has size one already.
    fn reduction(&self, op: &Op, value: ValueId, output: ValueId) -> Rewrite {
        if self.is(value, 0.0) {
            return Rewrite::Uniform(0.0);
        }
        let running = matches!(op, Op::Cumulative(..));
        if !running && self.ty(value) == self.ty(output) {
            Rewrite::Same(value)
        } else {
            Rewrite::Keep
        }
    }

    /// Zeros added to something, and zeros written into zeros.
    fn write(&self, op: &Op, inputs: &[ValueId]) -> Rewrite {
        let floats = || inputs.iter().copied().filter(|&value| self.kind(value) == Kind::Float);
        if floats().all(|value| self.is(value, 0.0)) {
            return Rewrite::Uniform(0.0);
        }
        let adds = matches!(
            op,
            Op::Scatter(_, IndexingUpdateOp::Add)
                | Op::SelectAssign(_, IndexingUpdateOp::Add)
                | Op::ScatterNd(IndexingUpdateOp::Add)
        );
        match (inputs.first(), inputs.last()) {
            (Some(&target), Some(&value)) if adds && self.is(value, 0.0) => {
                Rewrite::Scaled(target, 1.0)
            }
            _ => Rewrite::Keep,
        }
    }

    /// Movements of uniform values, movements that undo each other and movements that change nothing.
    fn movement(&self, op: &Op, inputs: &[ValueId], output: ValueId) -> Rewrite {
        let Some(&value) = inputs.first() else {
            return Rewrite::Keep;
        };
        if self.kind(value) != Kind::Float {
            return Rewrite::Keep;
        }
        if let Some(&known) = self.uniform.get(&value) {
            return Rewrite::Uniform(known);
        }
        if matches!(op, Op::Reshape | Op::Expand | Op::Cast) && self.ty(value) == self.ty(output) {
            return Rewrite::Same(value);
        }
        let Some((before, &[source])) =
            self.written_by(value).map(|node| (&node.op, &node.inputs[..]))
        else {
            return Rewrite::Keep;
        };
        let undone = match (op, before) {
            (Op::SwapDims(a, b), Op::SwapDims(c, d)) => (a, b) == (c, d) || (a, b) == (d, c),
            (Op::Permute(later), Op::Permute(sooner)) => {
                later.iter().enumerate().all(|(axis, &moved)| sooner.get(moved) == Some(&axis))
            }
            (Op::Flip(a), Op::Flip(b)) => a == b,
            _ => false,
        };
        match (undone, op, before) {
            (true, ..) => Rewrite::Same(source),
            (false, Op::Reshape, Op::Reshape) if self.ty(source) == self.ty(output) => {
                Rewrite::Same(source)
            }
            (false, Op::Reshape, Op::Reshape) => Rewrite::Replace(Op::Reshape, vec![source]),
            _ => Rewrite::Keep,
        }
    }
}

fn is_reduction(op: &Op) -> bool {
    matches!(
        op,
        Op::Reduce(Reduction::Sum | Reduction::Mean)
            | Op::ReduceDim(Reduction::Sum | Reduction::Mean, _)
            | Op::SumDims(_)
            | Op::Cumulative(Cumulative::Sum, _)
    )
}

fn is_write(op: &Op) -> bool {
    matches!(
        op,
        Op::Scatter(_, IndexingUpdateOp::Add | IndexingUpdateOp::Assign)
            | Op::SelectAssign(_, IndexingUpdateOp::Add | IndexingUpdateOp::Assign)
            | Op::ScatterNd(IndexingUpdateOp::Add | IndexingUpdateOp::Assign)
            | Op::SliceAssign(_)
            | Op::MaskWhere
            | Op::MaskFill(Literal::Float(0.0) | Literal::Int(0))
            | Op::Cat(_)
    )
}

fn is_movement(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape
            | Op::SwapDims(..)
            | Op::Permute(_)
            | Op::Flip(_)
            | Op::Expand
            | Op::Slice(_)
            | Op::RepeatDim { .. }
            | Op::Unfold { .. }
            | Op::Gather(_)
            | Op::GatherNd
            | Op::Select(_)
            | Op::Cast
    )
}
