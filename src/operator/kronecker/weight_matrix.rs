//! How the weight and the bias of a layer form one matrix. Depends on tensors; independent of what multiplies the matrix.

use burn_backend::{AutodiffBackend, Slice, ops::FloatTensorOps};

use crate::{
    space::{Inner, InnerFloat},
    tensor::reshape,
};

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
        let mut matrix = if self.transposed {
            let stored = reshape::<Inner<B>>(weight, &[self.groups, columns, rows]);
            Inner::<B>::float_swap_dims(stored, 1, 2)
        } else {
            reshape::<Inner<B>>(weight, &[self.groups, rows, columns])
        };
        if let Some(bias) = self.bias {
            let row = reshape::<Inner<B>>(blocks.get(bias)?.clone(), &[self.groups, 1, columns]);
            matrix = Inner::<B>::float_cat(vec![matrix, row], 1);
        }
        Some(matrix)
    }

    /// The blocks that form a matrix, in their order.
    pub fn scatter<B: AutodiffBackend>(&self, matrix: InnerFloat<B>) -> Vec<InnerFloat<B>> {
        let rows = self.weight_rows();
        let part = |range: std::ops::Range<usize>| {
            Inner::<B>::float_slice(matrix.clone(), &[Slice::full(), Slice::from(range)])
        };
        let bias = self
            .bias
            .map(|_| reshape::<Inner<B>>(part(rows..rows + 1), &[self.groups * self.columns]));
        let mut weight = if bias.is_some() { part(0..rows) } else { matrix };
        if self.transposed {
            weight = Inner::<B>::float_swap_dims(weight, 1, 2);
        }
        let weight = reshape::<Inner<B>>(weight, &self.shape);
        match bias {
            Some(bias) if self.bias < Some(self.weight) => vec![bias, weight],
            Some(bias) => vec![weight, bias],
            None => vec![weight],
        }
    }
}
