//! How the weight and the bias of a layer form one matrix. Depends on tensors; independent of what multiplies the matrix.

use burn_backend::{AutodiffBackend, Shape, Slice, ops::FloatTensorOps};

use crate::space::{Inner, InnerFloat};

/// A weight, with the bias that goes with it, as a matrix `[groups, rows, columns]`: a row per input, a column per
/// output, and the bias as the last row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightMatrix {
    pub groups: usize,
    /// That of the bias included.
    pub rows: usize,
    /// Per group.
    pub columns: usize,
    /// Shape in which the weight is stored.
    pub shape: Vec<usize>,
    /// Whether the weight is stored with a row per output.
    pub transposed: bool,
    /// Position of the weight among the blocks.
    pub weight: usize,
    /// Position of the bias among the blocks.
    pub bias: Option<usize>,
}

impl WeightMatrix {
    /// A block of any shape as one column.
    pub fn column(shape: &[usize]) -> Self {
        Self {
            groups: 1,
            rows: shape.iter().product(),
            columns: 1,
            shape: shape.to_vec(),
            transposed: false,
            weight: 0,
            bias: None,
        }
    }

    fn weight_rows(&self) -> usize {
        self.rows - usize::from(self.bias.is_some())
    }

    /// The matrix formed by blocks; `None` if there are too few of them.
    pub fn gather<B: AutodiffBackend>(&self, blocks: &[InnerFloat<B>]) -> Option<InnerFloat<B>> {
        let weight = blocks.get(self.weight)?.clone();
        let (rows, columns) = (self.weight_rows(), self.columns);
        let matrix = if self.transposed {
            let stored = Shape::from([self.groups, columns, rows]);
            Inner::<B>::float_swap_dims(Inner::<B>::float_reshape(weight, stored), 1, 2)
        } else {
            Inner::<B>::float_reshape(weight, Shape::from([self.groups, rows, columns]))
        };
        let Some(bias) = self.bias else {
            return Some(matrix);
        };
        let bias = blocks.get(bias)?.clone();
        let row = Inner::<B>::float_reshape(bias, Shape::from([self.groups, 1, columns]));
        Some(Inner::<B>::float_cat(vec![matrix, row], 1))
    }

    /// The blocks that form a matrix, in their order.
    pub fn scatter<B: AutodiffBackend>(&self, matrix: InnerFloat<B>) -> Vec<InnerFloat<B>> {
        let rows = self.weight_rows();
        let part = |range: std::ops::Range<usize>| {
            Inner::<B>::float_slice(matrix.clone(), &[Slice::full(), Slice::from(range)])
        };
        let bias = self.bias.map(|_| {
            let shape = Shape::from([self.groups * self.columns]);
            Inner::<B>::float_reshape(part(rows..rows + 1), shape)
        });
        let weight = if bias.is_some() { part(0..rows) } else { matrix };
        let weight =
            if self.transposed { Inner::<B>::float_swap_dims(weight, 1, 2) } else { weight };
        let weight = Inner::<B>::float_reshape(weight, Shape::from(self.shape.clone()));
        match bias {
            Some(bias) if self.bias < Some(self.weight) => vec![bias, weight],
            Some(bias) => vec![weight, bias],
            None => vec![weight],
        }
    }
}
