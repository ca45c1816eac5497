//! Convolutions whose rules are Burn's, brought into the cases where those are right: two or three dimensions, the
//! same padding on both sides.

use burn_backend::{
    Backend, TensorMetadata,
    ops::{ConvOptions, ConvTransposeOptions, PadMode},
    tensor::FloatTensor,
};

use super::{
    Context,
    inputs::Inputs,
    native,
    primitive::{reshape, slice_dim},
};
use crate::{
    error::Error,
    graph::{Convolution, ConvolutionTranspose, Op},
    tensor::Operand,
};

/// One dimension becomes two (in one dimension with groups, Burn's weight gradient panics where the stride does not
/// divide); uneven padding becomes a border of zeros.
pub(super) fn convolution<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let y = match op {
        Op::Conv { conv: Convolution::D1(options), bias } => {
            let (x, weight, bias) = (inputs.float()?, inputs.float()?, inputs.float_if(*bias)?);
            let options = ConvOptions::new_with_padding(
                [options.stride[0], 1],
                [options.padding[0], (0, 0)],
                [options.dilation[0], 1],
                options.groups,
            );
            let (x, options) = even_padding::<B, 2>(widen::<B>(x), options);
            narrow::<B>(B::conv2d(x, widen::<B>(weight), bias, options))
        }
        Op::Conv { conv: Convolution::D2(options), bias } if options.is_asymmetric() => {
            let (x, weight, bias) = (inputs.float()?, inputs.float()?, inputs.float_if(*bias)?);
            let (x, options) = even_padding::<B, 2>(x, options.clone());
            B::conv2d(x, weight, bias, options)
        }
        Op::Conv { conv: Convolution::D3(options), bias } if options.is_asymmetric() => {
            let (x, weight, bias) = (inputs.float()?, inputs.float()?, inputs.float_if(*bias)?);
            let (x, options) = even_padding::<B, 3>(x, options.clone());
            B::conv3d(x, weight, bias, options)
        }
        Op::ConvTranspose { conv, bias } => {
            let (x, weight, bias) = (inputs.float()?, inputs.float()?, inputs.float_if(*bias)?);
            transposed::<B>(conv, x, weight, bias)
        }
        _ => return native(op, inputs, context),
    };
    Ok(vec![Operand::Float(y)])
}

/// One dimension becomes two; output padding becomes a border (Burn's weight gradient has other sizes with it).
fn transposed<B: Backend>(
    conv: &ConvolutionTranspose,
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    match conv {
        ConvolutionTranspose::D1(options) => {
            let options = ConvTransposeOptions::new(
                [options.stride[0], 1],
                [options.padding[0], 0],
                [options.padding_out[0], 0],
                [options.dilation[0], 1],
                options.groups,
            );
            let (x, weight) = (widen::<B>(x), widen::<B>(weight));
            narrow::<B>(without_output_padding::<B, 2>(options, bias, |options, bias| {
                B::conv_transpose2d(x, weight, bias, options)
            }))
        }
        ConvolutionTranspose::D2(options) => {
            without_output_padding::<B, 2>(options.clone(), bias, |options, bias| {
                B::conv_transpose2d(x, weight, bias, options)
            })
        }
        ConvolutionTranspose::D3(options) => {
            without_output_padding::<B, 3>(options.clone(), bias, |options, bias| {
                B::conv_transpose3d(x, weight, bias, options)
            })
        }
    }
}

/// A transposed convolution without padding, of which the padding is cut off and to which zeros are added for output
/// padding that reaches beyond.
fn without_output_padding<B: Backend, const N: usize>(
    options: ConvTransposeOptions<N>,
    bias: Option<FloatTensor<B>>,
    convolve: impl FnOnce(ConvTransposeOptions<N>, Option<FloatTensor<B>>) -> FloatTensor<B>,
) -> FloatTensor<B> {
    let ConvTransposeOptions { stride, padding, padding_out, dilation, groups } = options.clone();
    if padding_out.iter().all(|&extra| extra == 0) {
        return convolve(options, bias);
    }
    let bare = ConvTransposeOptions::new(stride, [0; N], [0; N], dilation, groups);
    let mut y = convolve(bare, None);
    let mut border = vec![(0, 0); N + 2];
    for (axis, (cut, extra)) in padding.into_iter().zip(padding_out).enumerate() {
        let size = y.shape()[axis + 2];
        let end = (size + extra).saturating_sub(cut);
        border[axis + 2].1 = end.saturating_sub(size);
        y = slice_dim::<B>(y, axis + 2, cut..end.min(size));
    }
    if border.iter().any(|&(_, after)| after > 0) {
        y = B::float_pad(y, &border, PadMode::Constant(0.0));
    }
    match bias {
        Some(bias) => {
            let mut shape = vec![1; N + 2];
            shape[1] = bias.shape().num_elements();
            B::float_add(y, reshape::<B>(bias, &shape))
        }
        None => y,
    }
}

fn widen<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let mut shape = x.shape().to_vec();
    shape.push(1);
    reshape::<B>(x, &shape)
}

fn narrow<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let mut shape = x.shape().to_vec();
    shape.pop();
    reshape::<B>(x, &shape)
}

/// Uneven padding as a border of zeros and no padding.
fn even_padding<B: Backend, const N: usize>(
    x: FloatTensor<B>,
    options: ConvOptions<N>,
) -> (FloatTensor<B>, ConvOptions<N>) {
    if !options.is_asymmetric() {
        return (x, options);
    }
    let border: Vec<(usize, usize)> = [(0, 0), (0, 0)].into_iter().chain(options.padding).collect();
    let x = B::float_pad(x, &border, PadMode::Constant(0.0));
    (x, ConvOptions::new(options.stride, [0; N], options.dilation, options.groups))
}
