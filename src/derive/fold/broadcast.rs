//! Operations on broadcast operands, done on what was broadcast.

use std::ops::Range;

use burn_backend::Shape;

use super::{Folder, Rewrite};
use crate::graph::{Binary, Node, Op, Reduction, ValueId, ValueType};

impl Folder {
    /// Remembers what is broadcast: an expansion that adds no dimension, or a rearrangement of such a value.
    pub(super) fn note_broadcast(&mut self, op: &Op, inputs: &[ValueId], output: ValueId) {
        let &[value] = inputs else {
            return;
        };
        let (ty, shape) = (self.ty(output).clone(), self.ty(value).shape.clone());
        if *op == Op::Expand && shape.num_dims() == ty.shape.num_dims() {
            self.broadcast.insert(output, self.behind(value));
        }
        let Some(&small) = self.broadcast.get(&value) else {
            return;
        };
        let mut rearranged = self.ty(small).shape.clone();
        match op {
            Op::SwapDims(a, b) => rearranged.swap(*a, *b),
            Op::Reshape => match reshaped(&rearranged, &shape, &ty.shape) {
                Some(shape) => rearranged = shape,
                None => return,
            },
            _ => return,
        }
        let small = self.emit_new(
            op.clone(),
            vec![small],
            ValueType { shape: rearranged, dtype: ty.dtype },
        );
        self.broadcast.insert(output, small);
    }

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

    /// What a value is broadcast from, or the value itself.
    pub(super) fn behind(&self, value: ValueId) -> ValueId {
        self.broadcast.get(&value).copied().unwrap_or(value)
    }

    fn smaller_pair(&self, node: &Node, left: ValueId, right: ValueId, output: ValueId) -> Rewrite {
        let pair = vec![self.behind(left), self.behind(right)];
        if pair == node.inputs {
            return Rewrite::Keep;
        }
        let shape = together(&self.ty(pair[0]).shape, &self.ty(pair[1]).shape);
        if shape == self.ty(output).shape {
            Rewrite::Replace(node.op.clone(), pair)
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
        if self.ty(small).shape[dim] == 1 && count != 1 {
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
    matches!(function, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div)
}

/// Shape of two operands of equal rank together.
fn together(left: &Shape, right: &Shape) -> Shape {
    let size = |(&a, &b): (&usize, &usize)| if a == 1 { b } else { a };
    Shape::from(left.iter().zip(right.iter()).map(size).collect::<Vec<_>>())
}

/// Shape of what is broadcast to `from` when that is reshaped to `to`, if dimensions that were broadcast do not mix with
/// others.
pub(in crate::derive) fn reshaped(small: &[usize], from: &[usize], to: &[usize]) -> Option<Shape> {
    if from.contains(&0) {
        return None;
    }
    let mut result = Vec::with_capacity(to.len());
    for (before, after) in groups(from, to)? {
        let (sizes, after) = (&small[before.clone()], &to[after]);
        if sizes == &from[before] {
            result.extend(after);
        } else if sizes.iter().all(|&size| size == 1) {
            result.extend(after.iter().map(|_| 1));
        } else {
            return None;
        }
    }
    Some(Shape::from(result))
}

/// The fewest adjacent dimensions of both shapes with the same number of elements, which a reshape does not mix with
/// others. Dimensions of size one may be left over at the end, in a group of their own.
pub(in crate::derive) fn groups(
    from: &[usize],
    to: &[usize],
) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let mut groups = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() && j < to.len() {
        let (first, mut left, mut right) = ((i, j), from[i], to[j]);
        while left != right {
            if left < right {
                i += 1;
                left *= from.get(i)?;
            } else {
                j += 1;
                right *= to.get(j)?;
            }
        }
        (i, j) = (i + 1, j + 1);
        groups.push((first.0..i, first.1..j));
    }
    if i < from.len() || j < to.len() {
        groups.push((i..from.len(), j..to.len()));
    }
    Some(groups)
}
