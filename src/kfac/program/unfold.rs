//! The patches of images that convolutions multiply by their weights. Independent of products.

use burn_backend::{
    Backend, Slice, TensorMetadata,
    ops::{ConvOptions, PadMode, UnfoldOptions},
    tensor::FloatTensor,
};

use crate::tensor::reshape;

/// Largest width of a row per place for which products are summed sample by sample.
const WIDTH_PER_PLACE: usize = 2;

/// Whether sums of products, sample by sample, take little more memory than their factors.
pub(super) fn are_columns(width: usize, places: usize) -> bool {
    places > 1 && width <= WIDTH_PER_PLACE * places
}

/// The patches of a plain convolution as its weight gradient has them, `[samples, 1, width, places]`; `None` if rows are
/// better.
pub(super) fn columns<B: Backend>(
    x: &FloatTensor<B>,
    kernel: [usize; 2],
    options: &ConvOptions<2>,
) -> Option<FloatTensor<B>> {
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
    Some(reshape::<B>(columns, &[shape[0], 1, width, places]))
}

/// The kernel of a weight `[out, in / groups, kernel…]`.
pub(super) fn kernel<const N: usize>(weight: &[usize]) -> [usize; N] {
    std::array::from_fn(|dim| weight.get(2 + dim).copied().unwrap_or(1))
}

/// The patches that a kernel meets, `[samples, positions, groups, channels / groups · kernel]`.
pub(super) fn patches<B: Backend, const N: usize>(
    x: FloatTensor<B>,
    kernel: [usize; N],
    options: &ConvOptions<N>,
) -> FloatTensor<B> {
    let border: Vec<(usize, usize)> = [(0, 0), (0, 0)].into_iter().chain(options.padding).collect();
    let padded = options.padding.iter().any(|&padding| padding != (0, 0));
    let mut x = if padded { B::float_pad(x, &border, PadMode::Constant(0.0)) } else { x };
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
    let order: Vec<usize> =
        [0].into_iter().chain(2..2 + N).chain([1]).chain(2 + N..2 + 2 * N).collect();
    let x = B::float_permute(x, &order);
    let shape = x.shape();
    let samples = shape[0];
    let positions: usize = shape[1..=N].iter().product();
    let width: usize = shape[N + 1..].iter().product();
    reshape::<B>(x, &[samples, positions, options.groups, width / options.groups.max(1)])
}
