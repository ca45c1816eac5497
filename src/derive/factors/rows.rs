//! Inputs and output gradients of layers as rows of numbers, one for each place where a weight is used.

use burn_backend::{
    Backend, Shape, Slice, TensorMetadata, ops::ConvOptions, ops::PadMode, tensor::FloatTensor,
};

use crate::{derive::layers::LayerKind, graph::Convolution};

/// Rows of `[samples, places, groups, width]`.
pub(super) struct Rows<B: Backend>(pub FloatTensor<B>);

impl<B: Backend> Rows<B> {
    /// The inputs of a layer that are multiplied by its weight: patches for a convolution.
    ///
    /// `weight` is the shape of the weight.
    pub fn of_input(kind: &LayerKind, x: FloatTensor<B>, weight: &[usize]) -> Self {
        match kind {
            LayerKind::Linear { .. } | LayerKind::Embedding => Self::last_dimension(x),
            LayerKind::Conv(Convolution::D1(options)) => patches(x, kernel(weight), options),
            LayerKind::Conv(Convolution::D2(options)) => patches(x, kernel(weight), options),
            LayerKind::Conv(Convolution::D3(options)) => patches(x, kernel(weight), options),
        }
    }

    /// The gradients of the outputs of a layer.
    pub fn of_gradient(kind: &LayerKind, g: FloatTensor<B>) -> Self {
        let LayerKind::Conv(conv) = kind else {
            return Self::last_dimension(g);
        };
        let groups = groups(conv);
        let rank = g.shape().num_dims();
        let order: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
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
        Self(B::float_reshape(x, Shape::from(dims)))
    }

    /// Several uses side by side, as further places.
    pub fn joined(mut uses: Vec<Self>) -> Option<Self> {
        if uses.len() < 2 {
            return uses.pop();
        }
        let uses = uses.into_iter().map(|rows| rows.0).collect();
        Some(Self(B::float_cat(uses, 1)))
    }

    /// Summed over the places, and divided by their number where it is asked for.
    pub fn over_places(self, mean: bool) -> Self {
        let places = self.0.shape()[1];
        let sum = B::float_sum_dim(self.0, 1);
        Self(match mean {
            true => B::float_mul_scalar(sum, (places as f64).recip().into()),
            false => sum,
        })
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.0.shape()[0] * self.0.shape()[1]
    }

    /// Several batches of rows of equal places and widths one after another.
    pub fn stacked(mut batches: Vec<Self>) -> Option<Self> {
        if batches.len() < 2 {
            return batches.pop();
        }
        let batches = batches.into_iter().map(|rows| rows.0).collect();
        Some(Self(B::float_cat(batches, 0)))
    }

    /// factor·Σ over rows of row·rowᵀ, `[groups, width, width]`.
    pub fn second_moment(&self, factor: f64) -> FloatTensor<B> {
        let rows = self.by_group();
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
        times::<B>(B::float_sum_dim(self.by_group(), 1), factor)
    }

    /// Numbers in a row of one group.
    pub fn width(&self) -> usize {
        self.0.shape()[3]
    }

    /// With a one behind every row.
    pub fn with_ones(self) -> Self {
        let (mut shape, device, dtype) = (self.0.shape(), self.0.device(), self.0.dtype());
        shape[3] = 1;
        let ones = B::float_ones(shape, &device, dtype.into());
        Self(B::float_cat(vec![self.0, ones], 3))
    }

    /// Every row times a matrix of its group, `[groups, width, width]`; as they are without one.
    pub fn rotated(self, basis: Option<&FloatTensor<B>>) -> Self {
        let Some(basis) = basis else {
            return self;
        };
        let shape = self.0.shape();
        let rotated = B::float_matmul(self.by_group(), basis.clone());
        let [samples, places, groups, width] = [shape[0], shape[1], shape[2], shape[3]];
        let dims = vec![groups, samples, places, width];
        let split = B::float_reshape(rotated, Shape::from(dims));
        Self(B::float_permute(split, &[1, 2, 0, 3]))
    }

    /// `[groups, rows, width]`
    pub fn by_group(&self) -> FloatTensor<B> {
        let [groups, width] = [self.0.shape()[2], self.0.shape()[3]];
        let rows = self.count();
        match groups {
            1 => B::float_reshape(self.0.clone(), Shape::from(vec![1, rows, width])),
            _ => {
                let flat = B::float_reshape(self.0.clone(), Shape::from(vec![rows, groups, width]));
                B::float_swap_dims(flat, 0, 1)
            }
        }
    }
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
    Rows(B::float_reshape(x, Shape::from(dims)))
}
