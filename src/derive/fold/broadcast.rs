//! Operations on broadcast operands, done on what was broadcast.

use burn_backend::Shape;

use super::{Folder, Rewrite};
use crate::graph::{Binary, Node, Op, Reduction, ValueId};

impl Folder {
    /// The operation on the smaller operands behind broadcast ones, if it may read those.
    pub(super) fn smaller(&self, node: &Node, output: ValueId) -> Rewrite {
        match (&node.op, &node.inputs[..]) {
            (Op::Unary(_) | Op::BinaryScalar(..) | Op::Clamp { .. }, &[value]) => {
                match self.broadcast.get(&value) {
                    Some(&small) => {
                        Rewrite::Small(node.op.clone(), vec![small], self.ty(small).shape.clone())
                    }
                    None => Rewrite::Keep,
                }
            }
            (Op::Binary(function), &[left, right]) if spreads(*function) => {
                self.smaller_pair(node, left, right, output)
            }
            (Op::ReduceDim(Reduction::Sum, dim), &[value]) => self.smaller_sum(*dim, value, output),
            _ => Rewrite::Keep,
        }
    }

    fn smaller_pair(&self, node: &Node, left: ValueId, right: ValueId, output: ValueId) -> Rewrite {
        let behind = |value: ValueId| self.broadcast.get(&value).copied().unwrap_or(value);
        let pair = vec![behind(left), behind(right)];
        if pair == node.inputs {
            return Rewrite::Keep;
        }
        let shape = together(&self.ty(pair[0]).shape, &self.ty(pair[1]).shape);
        if shape == self.ty(output).shape {
            Rewrite::With(node.op.clone(), pair)
        } else {
            Rewrite::Small(node.op.clone(), pair, shape)
        }
    }

    /// A sum along a dimension that was broadcast only is a multiple.
    fn smaller_sum(&self, dim: usize, value: ValueId, output: ValueId) -> Rewrite {
        let Some(&small) = self.broadcast.get(&value) else {
            return Rewrite::Keep;
        };
        let count = self.ty(value).shape[dim];
        if self.ty(small).shape[dim] == 1 && count > 1 {
            Rewrite::Scaled(small, count as f64)
        } else if self.ty(small).shape == self.ty(output).shape {
            Rewrite::Keep
        } else {
            let mut shape = self.ty(small).shape.clone();
            shape[dim] = 1;
            Rewrite::Small(Op::ReduceDim(Reduction::Sum, dim), vec![small], shape)
        }
    }
}

/// Whether an operation broadcasts its operands on every backend.
fn spreads(function: Binary) -> bool {
    matches!(
        function,
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div
    )
}

/// Shape of two operands of equal rank together.
fn together(left: &Shape, right: &Shape) -> Shape {
    Shape::from(
        left.iter()
            .zip(right.iter())
            .map(|(&a, &b)| a.max(b))
            .collect::<Vec<_>>(),
    )
}
