//! Convolutions whose rules are Burn's, brought into the cases where those are right: two or three dimensions, the
//! same padding on both sides.

use burn_backend::{
    Backend, TensorMetadata,
    ops::{ConvOptions, ConvTransposeOptions, PadMode},
    tensor::FloatTensor,
};

use super::{
    Context,
    grouped::{self, Conv},
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
        Op::Conv { conv, bias } => {
            let (x, weight, bias) = (inputs.float()?, inputs.float()?, inputs.float_if(*bias)?);
            plain(conv, x, (weight, bias), context)
        }
        Op::ConvTranspose { conv, bias } => {
            let (x, weight, bias) = (inputs.float()?, inputs.float()?, inputs.float_if(*bias)?);
            transposed(conv, x, (weight, bias), context)
        }
        _ => return native(op, inputs, context),
    };
    Ok(vec![Operand::Float(y)])
}

/// Weight and bias.
type Weights<B> = (FloatTensor<B>, Option<FloatTensor<B>>);

fn plain<B: Backend>(
    conv: &Convolution,
    x: FloatTensor<B>,
    (weight, bias): Weights<B>,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    match conv {
        Convolution::D1(options) => {
            let options = ConvOptions::new_with_padding(
                [options.stride[0], 1],
                [options.padding[0], (0, 0)],
                [options.dilation[0], 1],
                options.groups,
            );
            let (x, options) = even_padding::<B, 2>(widen::<B>(x), options);
            let weight = widen::<B>(weight);
            narrow::<B>(grouped::convolution(x, weight, bias, Conv::D2(options), context))
        }
        Convolution::D2(options) => {
            let (x, options) = even_padding::<B, 2>(x, options.clone());
            grouped::convolution(x, weight, bias, Conv::D2(options), context)
        }
        Convolution::D3(options) => {
            let (x, options) = even_padding::<B, 3>(x, options.clone());
            grouped::convolution(x, weight, bias, Conv::D3(options), context)
        }
    }
}

/// One dimension becomes two; output padding becomes a border (Burn's weight gradient has other sizes with it).
fn transposed<B: Backend>(
    conv: &ConvolutionTranspose,
    x: FloatTensor<B>,
    (weight, bias): Weights<B>,
    context: &Context<'_, B>,
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
                grouped::convolution(x, weight, bias, Conv::Transposed2(options), context)
            }))
        }
        ConvolutionTranspose::D2(options) => {
            without_output_padding::<B, 2>(options.clone(), bias, |options, bias| {
                grouped::convolution(x, weight, bias, Conv::Transposed2(options), context)
            })
        }
        ConvolutionTranspose::D3(options) => {
            without_output_padding::<B, 3>(options.clone(), bias, |options, bias| {
                grouped::convolution(x, weight, bias, Conv::Transposed3(options), context)
            })
        }
    }
}

/// A transposed convolution without padding, of which the padding is cut off and to which zeros are added for output
/// padding that reaches beyond.
fn without_output_padding<B: Backend, const N: usize>(
    options: ConvTransposeOptions<N>,
    bias: Option<FloatTensor<B>>,
    convolve: impl FnOnce(ConvOptions<N>, Option<FloatTensor<B>>) -> FloatTensor<B>,
) -> FloatTensor<B> {
    let ConvTransposeOptions { stride, padding, padding_out, dilation, groups } = options;
    if padding_out.iter().all(|&extra| extra == 0) {
        return convolve(ConvOptions::new(stride, padding, dilation, groups), bias);
    }
    let bare = ConvOptions::new(stride, [0; N], dilation, groups);
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
    grouped::with_bias::<B>(y, bias)
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
