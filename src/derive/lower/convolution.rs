//! Convolutions whose rules are Burn's, brought into the cases where those are right: two or three dimensions, the
//! same padding on both sides.

use burn_backend::{
    Backend, TensorMetadata,
    ops::{ConvOptions, ConvTransposeOptions, PadMode},
    tensor::FloatTensor,
};

use super::{Site, inputs::Inputs, native, primitive::reshape};
use crate::{
    execute::ExecuteError,
    graph::{Convolution, ConvolutionTranspose, Op},
    tensor::Operand,
};

/// One dimension becomes two (in one dimension with groups, Burn's weight gradient panics where the stride does not
/// divide); uneven padding becomes a border of zeros.
pub(super) fn convolution<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    site: &Site<'_, B>,
) -> Result<Vec<Operand<B>>, ExecuteError> {
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
        Op::ConvTranspose { conv: ConvolutionTranspose::D1(options), bias } => {
            let (x, weight, bias) = (inputs.float()?, inputs.float()?, inputs.float_if(*bias)?);
            let options = ConvTransposeOptions::new(
                [options.stride[0], 1],
                [options.padding[0], 0],
                [options.padding_out[0], 0],
                [options.dilation[0], 1],
                options.groups,
            );
            narrow::<B>(B::conv_transpose2d(widen::<B>(x), widen::<B>(weight), bias, options))
        }
        _ => return native(op, inputs, site),
    };
    Ok(vec![Operand::Float(y)])
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
