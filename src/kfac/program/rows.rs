//! Inputs and output gradients of layers as rows, one for each place where a weight is used.

use std::ops::Range;

use burn_backend::{
    Backend, DType, Shape, Slice, TensorMetadata,
    tensor::{FloatTensor, IndexingUpdateOp, IntTensor},
};

use super::unfold::{are_columns, columns, kernel, patches};
use crate::{graph::Convolution, kfac::layers::LayerKind, tensor::reshape};

/// One row for each place of each sample, group by group.
#[derive(Clone)]
pub(super) enum Rows<B: Backend> {
    /// `[samples, places, groups, width]`
    Rows(FloatTensor<B>),
    /// `[samples, groups, width, places]`, as convolutions have them.
    Columns(FloatTensor<B>),
}

impl<B: Backend> Rows<B> {
    /// The inputs of a layer that are multiplied by its weight: patches for a convolution.
    ///
    /// `weight` is the shape of the weight.
    pub fn of_input(kind: &LayerKind, x: FloatTensor<B>, weight: &[usize]) -> Self {
        match kind {
            LayerKind::Linear { .. } | LayerKind::Embedding => Self::grouped(x, 1),
            LayerKind::Conv(Convolution::D1(options)) => {
                Self::Rows(patches::<B, 1>(x, kernel(weight), options))
            }
            LayerKind::Conv(Convolution::D2(options)) => {
                match columns::<B>(&x, kernel(weight), options) {
                    Some(columns) => Self::Columns(columns),
                    None => Self::Rows(patches::<B, 2>(x, kernel(weight), options)),
                }
            }
            LayerKind::Conv(Convolution::D3(options)) => {
                Self::Rows(patches::<B, 3>(x, kernel(weight), options))
            }
        }
    }

    /// The gradients of the outputs of a layer.
    pub fn of_gradient(kind: &LayerKind, g: FloatTensor<B>) -> Self {
        if !matches!(kind, LayerKind::Conv(_)) {
            return Self::grouped(g, 1);
        }
        let (groups, shape) = (kind.groups(), g.shape());
        let places: usize = shape[2..].iter().product();
        let width = shape[1] / groups.max(1);
        if are_columns(width, places) {
            return Self::Columns(reshape::<B>(g, &[shape[0], groups, width, places]));
        }
        let order: Vec<usize> = [0].into_iter().chain(2..shape.num_dims()).chain([1]).collect();
        Self::grouped(B::float_permute(g, &order), groups)
    }

    /// `[samples, …, groups·width]`
    fn grouped(x: FloatTensor<B>, groups: usize) -> Self {
        let shape = x.shape();
        let (total, width) = (shape.num_elements(), shape.last().copied().unwrap_or(1));
        let samples = match shape.num_dims() {
            0 | 1 => 1,
            _ => shape[0],
        };
        let places = total / (samples * width).max(1);
        Self::Rows(reshape::<B>(x, &[samples, places, groups, width / groups.max(1)]))
    }

    /// One-hot rows of indices `[samples, places]`.
    pub fn one_hot(indices: IntTensor<B>, width: usize, dtype: DType) -> Self {
        let [samples, places] = [indices.shape()[0], indices.shape()[1]];
        let each = B::int_reshape(indices, Shape::from([samples * places, 1]));
        Self::Rows(reshape::<B>(shares::<B>(each, width, dtype), &[samples, places, 1, width]))
    }

    /// Samples, places, groups, width.
    pub fn sizes(&self) -> [usize; 4] {
        match self {
            Self::Rows(rows) => dims(rows),
            Self::Columns(columns) => {
                let [samples, groups, width, places] = dims(columns);
                [samples, places, groups, width]
            }
        }
    }

    /// `[samples, places, groups, width]`
    pub fn rows(&self) -> FloatTensor<B> {
        match self {
            Self::Rows(rows) => rows.clone(),
            Self::Columns(columns) => B::float_permute(columns.clone(), &[0, 3, 1, 2]),
        }
    }

    /// Several of equal widths: as further samples for dimension 0, as further places for dimension 1.
    pub fn joined(mut parts: Vec<Self>, dim: usize) -> Option<Self> {
        if parts.len() < 2 {
            return parts.pop();
        }
        Some(Self::Rows(B::float_cat(parts.iter().map(Self::rows).collect(), dim)))
    }

    /// Summed over the places, and divided by their number where it is asked for.
    pub fn over_places(self, mean: bool) -> Self {
        let [samples, places, groups, width] = self.sizes();
        let sum = match self {
            Self::Rows(rows) => B::float_sum_dim(rows, 1),
            Self::Columns(columns) => B::float_sum_dim(columns, 3),
        };
        let sum = reshape::<B>(sum, &[samples, 1, groups, width]);
        let factor = if mean { (places as f64).recip() } else { 1.0 };
        Self::Rows(times::<B>(sum, factor))
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        let [samples, places, ..] = self.sizes();
        samples * places
    }

    /// Elements in a row of one group.
    pub fn width(&self) -> usize {
        self.sizes()[3]
    }

    /// With a number appended to every row.
    pub fn with_constant(self, number: f64) -> Self {
        let rows = self.rows();
        let (mut shape, device, dtype) = (rows.shape(), rows.device(), rows.dtype());
        shape[3] = 1;
        let last = B::float_full(shape, number.into(), &device, dtype.into());
        Self::Rows(B::float_cat(vec![rows, last], 3))
    }

    /// With samples first, of which row r of a cotangent is one of (r / stride) mod count; one for all rows without an
    /// axis. Samples of the first cotangent come before those of the next.
    pub fn by_sample(self, axis: Option<[usize; 2]>, cotangents: usize) -> Self {
        let [first, places, groups, width] = self.sizes();
        let total = first * places / cotangents.max(1);
        let [count, stride] = axis.unwrap_or([1, total]);
        if [first, places] == [cotangents * count, stride] {
            return self;
        }
        let outer = total / (count * stride).max(1);
        let dims = [cotangents, outer, count, stride * groups * width];
        let split = reshape::<B>(self.rows(), &dims);
        let sorted = if outer == 1 { split } else { B::float_swap_dims(split, 1, 2) };
        Self::Rows(reshape::<B>(sorted, &[cotangents * count, outer * stride, groups, width]))
    }

    /// The same rows repeated for several cotangents, or for each of some samples if they are of one.
    pub fn for_samples(&self, samples: usize) -> Self {
        let [first, places, groups, width] = self.sizes();
        if first == samples {
            return Self::Rows(self.rows());
        }
        let elements = places * groups * width;
        let rows = reshape::<B>(self.rows(), &[1, first, elements]);
        let rows = B::float_expand(rows, Shape::from([samples / first.max(1), first, elements]));
        Self::Rows(reshape::<B>(rows, &[samples, places, groups, width]))
    }

    /// Σ over places of a gᵀ for each sample, `[samples, groups, width of a, width of g]`.
    pub fn products(&self, g: &Self) -> FloatTensor<B> {
        let [samples, _, groups, d_in] = self.sizes();
        let left = B::float_swap_dims(self.by_place(), 1, 2);
        let products = B::float_matmul(left, g.by_place());
        reshape::<B>(products, &[samples, groups, d_in, g.width()])
    }

    /// `[samples · groups, places, width]`
    pub fn by_place(&self) -> FloatTensor<B> {
        let [samples, places, groups, width] = self.sizes();
        let permuted = B::float_permute(self.rows(), &[0, 2, 1, 3]);
        reshape::<B>(permuted, &[samples * groups, places, width])
    }

    /// The rows of some of the samples.
    pub fn narrowed(&self, samples: Range<usize>) -> Self {
        let slices = [Slice::from(samples)];
        match self {
            Self::Rows(rows) => Self::Rows(B::float_slice(rows.clone(), &slices)),
            Self::Columns(columns) => Self::Columns(B::float_slice(columns.clone(), &slices)),
        }
    }

    /// The rows of the samples at some indices, `[count]`.
    pub fn selected(&self, at: &IntTensor<B>) -> Self {
        match self {
            Self::Rows(rows) => Self::Rows(B::float_select(rows.clone(), 0, at.clone())),
            Self::Columns(columns) => {
                Self::Columns(B::float_select(columns.clone(), 0, at.clone()))
            }
        }
    }

    /// Every row times a matrix of its group, `[groups, width, width]`; unchanged without one.
    pub fn rotated(self, basis: Option<&FloatTensor<B>>) -> Self {
        let Some(basis) = basis else {
            return self;
        };
        let [samples, places, groups, width] = self.sizes();
        let rotated = B::float_matmul(self.by_group(), basis.clone());
        let split = reshape::<B>(rotated, &[groups, samples, places, width]);
        Self::Rows(B::float_permute(split, &[1, 2, 0, 3]))
    }

    /// `[groups, rows, width]`
    pub fn by_group(&self) -> FloatTensor<B> {
        let [_, _, groups, width] = self.sizes();
        let count = self.count();
        match groups {
            1 => reshape::<B>(self.rows(), &[1, count, width]),
            _ => B::float_swap_dims(reshape::<B>(self.rows(), &[count, groups, width]), 0, 1),
        }
    }
}

/// The share of each of `width` rows in indices `[samples, places]`, sample by sample: the mean of their one-hot rows.
pub(super) fn shares<B: Backend>(
    indices: IntTensor<B>,
    width: usize,
    dtype: DType,
) -> FloatTensor<B> {
    let (shape, device) = (indices.shape(), indices.device());
    let ones = B::float_ones(shape.clone(), &device, dtype.into());
    let zeros = B::float_zeros(Shape::from([shape[0], width]), &device, dtype.into());
    let counts = B::float_scatter(1, zeros, indices, ones, IndexingUpdateOp::Add);
    times::<B>(counts, (shape[1].max(1) as f64).recip())
}

pub(in crate::kfac) fn times<B: Backend>(tensor: FloatTensor<B>, factor: f64) -> FloatTensor<B> {
    if factor == 1.0 { tensor } else { B::float_mul_scalar(tensor, factor.into()) }
}

/// Tensors side by side.
pub(in crate::kfac) fn joined<B: Backend>(
    mut parts: Vec<FloatTensor<B>>,
    dim: usize,
) -> FloatTensor<B> {
    if parts.len() == 1 { parts.remove(0) } else { B::float_cat(parts, dim) }
}

/// A tensor with a dimension for several before the others.
pub(in crate::kfac) fn one_of_many<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let shape = [&[1], &tensor.shape()[..]].concat();
    reshape::<B>(tensor, &shape)
}

pub(super) fn dims(tensor: &impl TensorMetadata) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}
