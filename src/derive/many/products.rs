//! Matrix products for several vectors, each as one product where the axis can be rows or columns of it.

use super::stack::{Stack, Stacked};
use crate::graph::{Node, Op, ValueId};

/// Multiply-adds of a product from which on k products are made rather than one for which an operand is copied.
const WORTH_A_PRODUCT: usize = 1 << 18;

impl Stack<'_> {
    /// `x · y`, of which one or both have the axis.
    ///
    /// With y fixed the axis is merged into the rows of x, with x fixed into the columns of y; a fixed matrix without a
    /// batch takes the other's batch as rows too. Otherwise the axis is one more dimension of a batch, along which a
    /// fixed operand is broadcast.
    pub fn product(&mut self, node: &Node) -> Option<Vec<Stacked>> {
        let (&[x, y], &output) = (&node.inputs[..], node.outputs.first()?) else {
            return None;
        };
        let rank = self.rank(output);
        let one_rank = self.rank(x) == rank && self.rank(y) == rank && rank >= 2;
        let made = match (self.find(x), self.find(y)) {
            (Some(left), None) if one_rank => self.as_rows((left, x), y, output),
            (None, Some(right)) if one_rank => self.as_columns(x, (right, y), output),
            _ => None,
        };
        if let Some(made) = made {
            return Some(vec![made]);
        }
        let (left, right) = (self.aligned(x, rank, rank), self.aligned(y, rank, rank));
        Some(self.like(node, Op::Matmul, vec![left, right], 0))
    }

    fn as_rows(
        &mut self,
        (left, x): (Stacked, ValueId),
        y: ValueId,
        output: ValueId,
    ) -> Option<Stacked> {
        let last = self.rank(output) - 1;
        let behind = |dim: usize| if dim < left.axis { dim } else { dim + 1 };
        let first = if self.is_matrix(y) { 0 } else { last - 1 };
        let ways = (first..=last).map(|axis| {
            let mut rows: Vec<usize> = (first..last).map(behind).collect();
            rows.insert(axis - first, left.axis);
            let batch =
                (0..last - 1).map(|dim| if first == 0 { vec![] } else { vec![behind(dim)] });
            (batch.chain([rows, vec![behind(last)]]).collect::<Vec<_>>(), axis)
        });
        let mut ways: Vec<_> = ways.collect();
        ways.sort_by_key(|&(_, axis)| axis != left.axis);
        let (merged, axis) = self.as_one(left.value, ways, (x, output))?;
        let mut shape = self.shape(merged);
        shape[last] = self.shape(output)[last];
        if first != 0 {
            shape[..last - 1].copy_from_slice(&self.shape(output)[..last - 1]);
        }
        let product = self.emit(Op::Matmul, vec![merged, y], &shape, output);
        Some(Stacked { value: self.reshape(product, &self.with_axis(output, axis)), axis })
    }

    fn as_columns(
        &mut self,
        x: ValueId,
        (right, y): (Stacked, ValueId),
        output: ValueId,
    ) -> Option<Stacked> {
        let last = self.rank(output) - 1;
        let behind = |dim: usize| if dim < right.axis { dim } else { dim + 1 };
        let matrix = self.is_matrix(y);
        let batch = (0..last - 1).map(|dim| if matrix { vec![] } else { vec![behind(dim)] });
        let batch: Vec<Vec<usize>> = batch.collect();
        let columns = vec![right.axis, behind(last)];
        let groups = batch.iter().cloned().chain([vec![behind(last - 1)], columns]);
        let ways = vec![(groups.collect::<Vec<_>>(), last)];
        let (merged, axis) = self.as_one(right.value, ways, (x, output))?;
        let mut left = x;
        if matrix {
            let mut rows = batch;
            rows.extend([(0..last).collect(), vec![last]]);
            left = self.regrouped(x, &rows);
        }
        let mut shape = self.shape(output);
        if matrix {
            shape = self.shape(left);
        }
        shape[last] = self.shape(merged)[last];
        let product = self.emit(Op::Matmul, vec![left, merged], &shape, output);
        Some(Stacked { value: self.reshape(product, &self.with_axis(output, axis)), axis })
    }

    /// A value with its dimensions merged in the first of these ways that takes no copy, and where the axis of the product
    /// stands then; with a copy for small products. x and the output of the product tell its size.
    fn as_one(
        &mut self,
        value: ValueId,
        ways: Vec<(Vec<Vec<usize>>, usize)>,
        (x, output): (ValueId, ValueId),
    ) -> Option<(ValueId, usize)> {
        for (groups, axis) in &ways {
            if let Some(view) = self.grouped(value, groups) {
                return Some((view, *axis));
            }
        }
        let inner = self.shape(x).last().copied().unwrap_or(1);
        let work = self.shape(output).iter().product::<usize>() * inner;
        let (groups, axis) = ways.into_iter().next().filter(|_| work < WORTH_A_PRODUCT)?;
        Some((self.regrouped(value, &groups), axis))
    }

    /// Whether a value of the source has no dimensions of a batch but of size one.
    fn is_matrix(&self, value: ValueId) -> bool {
        self.shape(value).iter().rev().skip(2).all(|&size| size == 1)
    }
}
