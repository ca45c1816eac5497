//! Inputs and output gradients of layers as rows of numbers, one for each place where a weight is used.

use burn_backend::{
    Backend, Shape, Slice, TensorMetadata,
    ops::{ConvOptions, PadMode, UnfoldOptions},
    tensor::FloatTensor,
};

use super::product;
use crate::{derive::layers::LayerKind, graph::Convolution};

/// One row of numbers for each place of each sample, group by group.
pub(super) enum Rows<B: Backend> {
    /// `[samples, places, groups, width]`
    Rows(FloatTensor<B>),
    /// `[samples, groups, width, places]`, as convolutions have them.
    Columns(FloatTensor<B>),
}

/// Most numbers of a row for each place at which products are summed sample by sample.
const WIDTH_PER_PLACE: usize = 2;

/// Width from which a product with itself is computed by panels: below, they are too narrow to be fast.
const LEAST_WIDTH: usize = 256;
/// Five eighths of the work of the whole product.
const PANELS: usize = 4;

impl<B: Backend> Rows<B> {
    /// The inputs of a layer that are multiplied by its weight: patches for a convolution.
    ///
    /// `weight` is the shape of the weight.
    pub fn of_input(kind: &LayerKind, x: FloatTensor<B>, weight: &[usize]) -> Self {
        match kind {
            LayerKind::Linear { .. } | LayerKind::Embedding => Self::last_dimension(x),
            LayerKind::Conv(Convolution::D1(options)) => patches(x, kernel(weight), options),
            LayerKind::Conv(Convolution::D2(options)) => columns(&x, kernel(weight), options)
                .unwrap_or_else(|| {
                    let kernel = kernel(weight);
                    patches(x, kernel, options)
                }),
            LayerKind::Conv(Convolution::D3(options)) => patches(x, kernel(weight), options),
        }
    }

    /// The gradients of the outputs of a layer.
    pub fn of_gradient(kind: &LayerKind, g: FloatTensor<B>) -> Self {
        let LayerKind::Conv(conv) = kind else {
            return Self::last_dimension(g);
        };
        let (groups, shape) = (groups(conv), g.shape());
        let places: usize = shape[2..].iter().product();
        let width = shape[1] / groups.max(1);
        if are_columns(width, places) {
            let dims = vec![shape[0], groups, width, places];
            return Self::Columns(B::float_reshape(g, Shape::from(dims)));
        }
        let order: Vec<usize> = [0]
            .into_iter()
            .chain(2..shape.num_dims())
            .chain([1])
            .collect();
        Self::grouped(B::float_permute(g, &order), groups)
    }

    fn last_dimension(x: FloatTensor<B>) -> Self {
        Self::grouped(x, 1)
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
        let dims = vec![samples, places, groups, width / groups.max(1)];
        Self::Rows(B::float_reshape(x, Shape::from(dims)))
    }

    /// Samples, places, groups, width.
    pub fn sizes(&self) -> [usize; 4] {
        match self {
            Self::Rows(rows) => {
                let shape = rows.shape();
                [shape[0], shape[1], shape[2], shape[3]]
            }
            Self::Columns(columns) => {
                let shape = columns.shape();
                [shape[0], shape[3], shape[1], shape[2]]
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

    /// Several uses side by side, as further places.
    pub fn joined(uses: Vec<Self>) -> Option<Self> {
        Self::concatenated(uses, 1)
    }

    /// Several batches of rows of equal places and widths one after another.
    pub fn stacked(batches: Vec<Self>) -> Option<Self> {
        let mut columns = batches.iter().map(|batch| match batch {
            Self::Columns(columns) => Some(columns.clone()),
            Self::Rows(_) => None,
        });
        match columns.by_ref().collect::<Option<Vec<_>>>() {
            Some(columns) if columns.len() > 1 => Some(Self::Columns(B::float_cat(columns, 0))),
            _ => Self::concatenated(batches, 0),
        }
    }

    fn concatenated(mut parts: Vec<Self>, dim: usize) -> Option<Self> {
        if parts.len() < 2 {
            return parts.pop();
        }
        let parts = parts.iter().map(Self::rows).collect();
        Some(Self::Rows(B::float_cat(parts, dim)))
    }

    /// Summed over the places, and divided by their number where it is asked for.
    pub fn over_places(self, mean: bool) -> Self {
        let [samples, places, groups, width] = self.sizes();
        let sum = match self {
            Self::Rows(rows) => B::float_sum_dim(rows, 1),
            Self::Columns(columns) => B::float_sum_dim(columns, 3),
        };
        let sum = B::float_reshape(sum, Shape::from(vec![samples, 1, groups, width]));
        let factor = match mean {
            true => (places as f64).recip(),
            false => 1.0,
        };
        Self::Rows(times::<B>(sum, factor))
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        let [samples, places, ..] = self.sizes();
        samples * places
    }

    /// factor·Σ over rows of row·rowᵀ, `[groups, width, width]`.
    pub fn second_moment(&self, factor: f64) -> FloatTensor<B> {
        if let Self::Columns(columns) = self {
            let [_, _, groups, width] = self.sizes();
            let turned = B::float_swap_dims(columns.clone(), 2, 3);
            let sum = B::float_sum_dim(B::float_matmul(columns.clone(), turned), 0);
            let sum = B::float_reshape(sum, Shape::from(vec![groups, width, width]));
            return times::<B>(sum, factor);
        }
        let rows = self.by_group();
        if self.width() >= LEAST_WIDTH && self.count() >= self.width() {
            return times::<B>(product::symmetric::<B>(rows, PANELS), factor);
        }
        // The factor goes to where there are fewer numbers.
        let (before, after) = match self.count() < self.width() {
            true => (factor, 1.0),
            false => (1.0, factor),
        };
        let left = B::float_swap_dims(times::<B>(rows.clone(), before), 1, 2);
        times::<B>(B::float_matmul(left, rows), after)
    }

    /// factor·Σ over rows, `[groups, 1, width]`.
    pub fn sum(&self, factor: f64) -> FloatTensor<B> {
        let [_, _, groups, width] = self.sizes();
        let sum = match self {
            Self::Rows(_) => B::float_sum_dim(self.by_group(), 1),
            Self::Columns(columns) => B::float_sum_dim(B::float_sum_dim(columns.clone(), 3), 0),
        };
        let sum = B::float_reshape(sum, Shape::from(vec![groups, 1, width]));
        times::<B>(sum, factor)
    }

    /// Numbers in a row of one group.
    pub fn width(&self) -> usize {
        self.sizes()[3]
    }

    /// With a one behind every row.
    pub fn with_ones(self) -> Self {
        let rows = self.rows();
        let (mut shape, device, dtype) = (rows.shape(), rows.device(), rows.dtype());
        shape[3] = 1;
        let ones = B::float_ones(shape, &device, dtype.into());
        Self::Rows(B::float_cat(vec![rows, ones], 3))
    }

    /// Every row times a matrix of its group, `[groups, width, width]`; as they are without one.
    pub fn rotated(self, basis: Option<&FloatTensor<B>>) -> Self {
        let Some(basis) = basis else {
            return self;
        };
        let [samples, places, groups, width] = self.sizes();
        let rotated = B::float_matmul(self.by_group(), basis.clone());
        let dims = vec![groups, samples, places, width];
        let split = B::float_reshape(rotated, Shape::from(dims));
        Self::Rows(B::float_permute(split, &[1, 2, 0, 3]))
    }

    /// `[groups, rows, width]`
    pub fn by_group(&self) -> FloatTensor<B> {
        let [_, _, groups, width] = self.sizes();
        let count = self.count();
        match groups {
            1 => B::float_reshape(self.rows(), Shape::from(vec![1, count, width])),
            _ => {
                let flat = B::float_reshape(self.rows(), Shape::from(vec![count, groups, width]));
                B::float_swap_dims(flat, 0, 1)
            }
        }
    }
}

/// Whether sums of products, sample by sample, take little more memory than what is multiplied.
fn are_columns(width: usize, places: usize) -> bool {
    places > 1 && width <= WIDTH_PER_PLACE * places
}

/// The patches of a plain convolution as its weight gradient has them, if they are to be columns.
fn columns<B: Backend>(
    x: &FloatTensor<B>,
    kernel: [usize; 2],
    options: &ConvOptions<2>,
) -> Option<Rows<B>> {
    let plain = options.groups == 1 && options.dilation == [1, 1];
    let unpadded = options.padding == [(0, 0); 2];
    let shape = x.shape();
    let count = |axis: usize| {
        let free = shape.get(2 + axis)?.checked_sub(kernel[axis])?;
        Some(free / options.stride[axis].max(1) + 1)
    };
    let places = count(0)? * count(1)?;
    let width = shape.get(1)? * kernel[0] * kernel[1];
    if !(plain && unpadded && are_columns(width, places)) {
        return None;
    }
    let unfold = UnfoldOptions::new(options.stride, [0, 0], [1, 1]);
    let columns = B::unfold4d(x.clone(), kernel, unfold);
    let dims = vec![shape[0], 1, width, places];
    Some(Rows::Columns(B::float_reshape(columns, Shape::from(dims))))
}

fn times<B: Backend>(tensor: FloatTensor<B>, factor: f64) -> FloatTensor<B> {
    match factor == 1.0 {
        true => tensor,
        false => B::float_mul_scalar(tensor, factor.into()),
    }
}

pub(super) fn groups(conv: &Convolution) -> usize {
    match conv {
        Convolution::D1(options) => options.groups,
        Convolution::D2(options) => options.groups,
        Convolution::D3(options) => options.groups,
    }
}

/// The kernel of a weight `[out, in / groups, kernel…]`.
fn kernel<const N: usize>(weight: &[usize]) -> [usize; N] {
    std::array::from_fn(|dim| weight.get(2 + dim).copied().unwrap_or(1))
}

/// The patches that a kernel meets, `[samples, positions, groups, channels / groups · kernel]`.
fn patches<B: Backend, const N: usize>(
    x: FloatTensor<B>,
    kernel: [usize; N],
    options: &ConvOptions<N>,
) -> Rows<B> {
    let border: Vec<(usize, usize)> = [(0, 0), (0, 0)]
        .into_iter()
        .chain(options.padding)
        .collect();
    let mut x = match options.padding.iter().all(|&padding| padding == (0, 0)) {
        true => x,
        false => B::float_pad(x, &border, PadMode::Constant(0.0)),
    };
    for (dim, &size) in kernel.iter().enumerate() {
        let (step, dilation) = (options.stride[dim], options.dilation[dim]);
        let window = dilation * (size - 1) + 1;
        x = B::float_unfold(x, 2 + dim, window, step);
        if dilation > 1 {
            let mut slices = vec![Slice::full(); x.shape().num_dims()];
            if let Some(last) = slices.last_mut() {
                *last = Slice::new(0, None, dilation as isize);
            }
            x = B::float_slice(x, &slices);
        }
    }
    // [samples, channels, positions…, kernel…] → [samples, positions…, channels, kernel…]
    let order: Vec<usize> = [0]
        .into_iter()
        .chain(2..2 + N)
        .chain([1])
        .chain(2 + N..2 + 2 * N)
        .collect();
    let x = B::float_permute(x, &order);
    let shape = x.shape();
    let samples = shape[0];
    let positions: usize = shape[1..=N].iter().product();
    let width: usize = shape[N + 1..].iter().product();
    let dims = vec![
        samples,
        positions,
        options.groups,
        width / options.groups.max(1),
    ];
    Rows::Rows(B::float_reshape(x, Shape::from(dims)))
}
