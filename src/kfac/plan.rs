//! How a layer's weight and bias stand in a vector, and how they make one matrix. Knows layouts and tensors.

use burn_backend::{AutodiffBackend, Shape, Slice, TensorData, ops::FloatTensorOps};

use super::{
    layers::{LayerGroup, LayerKind},
    program::FactorKind,
};
use crate::{
    space::{Inner, InnerFloat, ParamSpace, ParamVector},
    tensor::Precision,
};

/// One weight, with the bias that goes with it, as a matrix `[groups, d_in, d_out]`; the bias is its last row.
#[derive(Clone, Debug)]
pub(super) struct LayerPlan {
    pub kind: LayerKind,
    /// Positions in the layout.
    pub weight: usize,
    pub bias: Option<usize>,
    /// Shape of the weight.
    pub shape: Vec<usize>,
    pub groups: usize,
    /// Rows, that of the bias included.
    pub d_in: usize,
    /// Columns of each group.
    pub d_out: usize,
    /// Number of uses of the weight in the network.
    pub uses: usize,
    /// Whether A is a diagonal.
    pub diagonal: bool,
}

impl LayerPlan {
    pub fn new(group: &LayerGroup, kind: FactorKind) -> Self {
        let (groups, width) = (group.groups(), group.width_out());
        let total: usize = group.weight.iter().product();
        let bias = usize::from(group.first.bias.is_some());
        Self {
            kind: group.first.kind.clone(),
            weight: group.first.weight,
            bias: group.first.bias,
            shape: group.weight.clone(),
            groups,
            d_in: total / width.max(1) + bias,
            d_out: width / groups.max(1),
            uses: group.uses.len(),
            diagonal: kind.has_diagonal(group),
        }
    }

    /// The same layer with its weight and bias at other places.
    pub fn at(&self, weight: usize, bias: Option<usize>) -> Self {
        Self { weight, bias, ..self.clone() }
    }

    /// What kind of layer it is, for people.
    pub fn name(&self) -> &'static str {
        match self.kind {
            LayerKind::Linear { .. } => "linear",
            LayerKind::Conv(_) => "convolution",
            LayerKind::Embedding => "embedding",
        }
    }

    /// Whether the weight is stored output by output.
    fn is_transposed(&self) -> bool {
        match self.kind {
            LayerKind::Linear { transposed } => transposed,
            LayerKind::Conv(_) => true,
            LayerKind::Embedding => false,
        }
    }

    fn d_weight(&self) -> usize {
        self.d_in - usize::from(self.bias.is_some())
    }

    /// The matrix of a vector's blocks.
    pub fn to_matrix<B: AutodiffBackend>(&self, vector: &ParamVector<B>) -> Option<InnerFloat<B>> {
        let weight = vector.blocks().get(self.weight)?.clone();
        let d_weight = self.d_weight();
        let matrix = match self.is_transposed() {
            true => {
                let shape = Shape::from(vec![self.groups, self.d_out, d_weight]);
                Inner::<B>::float_swap_dims(Inner::<B>::float_reshape(weight, shape), 1, 2)
            }
            false => {
                let shape = Shape::from(vec![self.groups, d_weight, self.d_out]);
                Inner::<B>::float_reshape(weight, shape)
            }
        };
        let Some(bias) = self.bias else {
            return Some(matrix);
        };
        let bias = vector.blocks().get(bias)?.clone();
        let row = Inner::<B>::float_reshape(bias, Shape::from(vec![self.groups, 1, self.d_out]));
        Some(Inner::<B>::float_cat(vec![matrix, row], 1))
    }

    /// The blocks of a matrix: weight, and bias where there is one.
    pub fn to_blocks<B: AutodiffBackend>(
        &self,
        matrix: InnerFloat<B>,
    ) -> (InnerFloat<B>, Option<InnerFloat<B>>) {
        let d_weight = self.d_weight();
        let rows = |range: std::ops::Range<usize>| {
            let slices = [Slice::full(), Slice::from(range)];
            Inner::<B>::float_slice(matrix.clone(), &slices)
        };
        let bias = self.bias.map(|_| {
            let row = rows(d_weight..d_weight + 1);
            Inner::<B>::float_reshape(row, Shape::from(vec![self.groups * self.d_out]))
        });
        let weight = match self.bias {
            Some(_) => rows(0..d_weight),
            None => matrix.clone(),
        };
        let weight = match self.is_transposed() {
            true => Inner::<B>::float_swap_dims(weight, 1, 2),
            false => weight,
        };
        (Inner::<B>::float_reshape(weight, Shape::from(self.shape.clone())), bias)
    }
}

/// Numbers on the device of a vector, in its precision.
pub(super) fn upload<B: AutodiffBackend>(
    values: &[f64],
    shape: [usize; 3],
    space: &ParamSpace<B>,
) -> InnerFloat<B> {
    let data = TensorData::new(values.to_vec(), shape);
    let data = match space.precision() {
        Precision::F64 => data,
        Precision::F32 => data.convert::<f32>(),
    };
    Inner::<B>::float_from_data(data, space.device())
}
