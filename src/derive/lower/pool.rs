//! Max pooling as a gather at the positions of the maxima. Ties go where the backend puts them.

use burn_backend::{
    Backend, IntDType, Shape, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};

use super::{
    Context,
    inputs::Inputs,
    primitive::{int_dtype, reshape},
};
use crate::{
    error::Error,
    graph::{Op, PoolWindow},
    tensor::Operand,
};

/// The backend finds the maxima off the tape; what is on the tape is the gather alone.
pub(super) fn max_pool<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let Op::MaxPool { window, indices: wants_indices } = op else {
        return Err(inputs.refuse("this is no max pool"));
    };
    let x = inputs.float()?;
    if let Some(axis) = empty_window(&x.shape(), window) {
        return Err(inputs.refuse(format!(
            "a window along spatial dimension {axis} lies in the padding only, so it has no maximum"
        )));
    }
    let index_dtype = match context.outputs.get(1) {
        Some(output) if output.dtype.is_int() => output.dtype.into(),
        _ => int_dtype::<B>(context.device),
    };
    let positions = argmax::<B>((context.detach)(x.clone()), window, index_dtype)
        .ok_or_else(|| inputs.refuse("a max pool has one or two spatial dimensions"))?;
    let values = at_positions::<B>(x, positions.clone());
    let mut outputs = vec![Operand::Float(values)];
    if *wants_indices {
        outputs.push(Operand::Int(positions));
    }
    Ok(outputs)
}

/// Position of each maximum in its flattened image.
fn argmax<B: Backend>(
    x: FloatTensor<B>,
    window: &PoolWindow,
    dtype: IntDType,
) -> Option<IntTensor<B>> {
    let PoolWindow { kernel, stride, padding, dilation, ceil_mode } = window;
    let pair = |values: &[usize]| <[usize; 2]>::try_from(values).ok();
    match x.shape().num_dims() {
        3 => {
            let first = |values: &[usize]| values.first().copied();
            let pooled = B::max_pool1d_with_indices(
                x,
                first(kernel)?,
                first(stride)?,
                first(padding)?,
                first(dilation)?,
                *ceil_mode,
                dtype,
            );
            Some(pooled.indices)
        }
        4 => {
            let pooled = B::max_pool2d_with_indices(
                x,
                pair(kernel)?,
                pair(stride)?,
                pair(padding)?,
                pair(dilation)?,
                *ceil_mode,
                dtype,
            );
            Some(pooled.indices)
        }
        _ => None,
    }
}

/// `x` at one flat position per output, image by image.
fn at_positions<B: Backend>(x: FloatTensor<B>, positions: IntTensor<B>) -> FloatTensor<B> {
    let (shape, output) = (x.shape(), positions.shape());
    let images = shape[0] * shape[1];
    let flat = |shape: &Shape| [images, shape[2..].iter().product()];
    let positions = B::int_reshape(positions, Shape::from(flat(&output).to_vec()));
    let picked = B::float_gather(1, reshape::<B>(x, &flat(&shape)), positions);
    reshape::<B>(picked, &output.to_vec())
}

/// A spatial dimension along which some window reads no element of the image.
fn empty_window(shape: &Shape, window: &PoolWindow) -> Option<usize> {
    (0..window.kernel.len()).find(|&axis| {
        let size = shape.get(axis + 2).copied().unwrap_or(0);
        let (kernel, stride) = (window.kernel[axis], window.stride[axis]);
        let (padding, dilation) = (window.padding[axis], window.dilation[axis]);
        let count = burn_backend::ops::conv::calculate_pool_output_size(
            kernel,
            stride,
            padding,
            dilation,
            size,
            window.ceil_mode,
        );
        (0..count).any(|output| {
            !(0..kernel)
                .any(|k| (padding..padding + size).contains(&(output * stride + k * dilation)))
        })
    })
}
