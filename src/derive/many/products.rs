//! Matrix products for several vectors: as one large product where the vectors are rows of it.

use super::stack::Stack;
use crate::graph::{Node, Op, ValueId};

impl Stack<'_> {
    /// `x · y`, of which one or both have the axis.
    ///
    /// With a fixed matrix y the vectors' rows are put below each other: one product with k times the rows. Otherwise the
    /// axis is one more dimension of a batch, along which a fixed operand is broadcast.
    pub fn product(&mut self, node: &Node) -> Option<Vec<ValueId>> {
        let (&[x, y], &output) = (&node.inputs[..], node.outputs.first()?) else {
            return None;
        };
        let shape = self.with_axis(output);
        let rank = shape.len();
        let left = self.lifted(x, rank);
        if !self.varies(y) && self.is_matrix(y) && !self.is_turned(left) {
            return Some(vec![self.rows_below_each_other(left, y, output)]);
        }
        let right = self.lifted(y, rank);
        Some(self.like(node, Op::Matmul, vec![left, right]))
    }

    fn rows_below_each_other(&mut self, left: ValueId, y: ValueId, output: ValueId) -> ValueId {
        let (from, to) = (self.shape(left), self.with_axis(output));
        let inner = from.last().copied().unwrap_or(1);
        let columns = to.last().copied().unwrap_or(1);
        let rows = from.iter().product::<usize>() / inner.max(1);
        let left = self.reshape(left, &[rows, inner]);
        let right = self.reshape(y, &[inner, columns]);
        let product = self.emit(Op::Matmul, vec![left, right], &[rows, columns], output);
        self.reshape(product, &to)
    }

    /// Whether a value has no dimensions of a batch but of size one.
    fn is_matrix(&self, value: ValueId) -> bool {
        let shape = self.shape(value);
        shape.len() >= 2 && shape.iter().rev().skip(2).all(|&size| size == 1)
    }
}
