//! Runs convolutions, transposed ones and their backward operations, and patches of images.

use burn_backend::{Backend, ops::UnfoldOptions, tensor::FloatTensor};

use super::call::{Call, Results, float};
use crate::graph::{Convolution, ConvolutionTranspose, WithRespectTo};

/// A convolution.
pub(super) fn conv<B: Backend>(mut call: Call<B>, conv: &Convolution, bias: bool) -> Results<B> {
    let (x, weight) = (call.float()?, call.float()?);
    let bias = call.float_if(bias)?;
    float(match conv {
        Convolution::D1(options) => B::conv1d(x, weight, bias, options.clone()),
        Convolution::D2(options) => B::conv2d(x, weight, bias, options.clone()),
        Convolution::D3(options) => B::conv3d(x, weight, bias, options.clone()),
    })
}

/// Gradient of a convolution.
pub(super) fn conv_backward<B: Backend>(
    mut call: Call<B>,
    conv: &Convolution,
    to: WithRespectTo,
) -> Results<B> {
    let (x, second, grad) = (call.float()?, call.float()?, call.float()?);
    float(match to {
        WithRespectTo::Input => conv_x_backward::<B>(conv, x, second, grad),
        WithRespectTo::Weight => conv_weight_backward::<B>(conv, x, second, grad),
        WithRespectTo::Bias => match conv {
            Convolution::D1(_) => B::conv1d_bias_backward(x, second, grad),
            Convolution::D2(_) => B::conv2d_bias_backward(x, second, grad),
            Convolution::D3(_) => B::conv3d_bias_backward(x, second, grad),
        },
    })
}

fn conv_x_backward<B: Backend>(
    conv: &Convolution,
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    match conv {
        Convolution::D1(options) => B::conv1d_x_backward(x, weight, grad, options.clone()),
        Convolution::D2(options) => B::conv2d_x_backward(x, weight, grad, options.clone()),
        Convolution::D3(options) => B::conv3d_x_backward(x, weight, grad, options.clone()),
    }
}

fn conv_weight_backward<B: Backend>(
    conv: &Convolution,
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    match conv {
        Convolution::D1(options) => B::conv1d_weight_backward(x, weight, grad, options.clone()),
        Convolution::D2(options) => B::conv2d_weight_backward(x, weight, grad, options.clone()),
        Convolution::D3(options) => B::conv3d_weight_backward(x, weight, grad, options.clone()),
    }
}

/// A transposed convolution.
pub(super) fn conv_transpose<B: Backend>(
    mut call: Call<B>,
    conv: &ConvolutionTranspose,
    bias: bool,
) -> Results<B> {
    let (x, weight) = (call.float()?, call.float()?);
    let bias = call.float_if(bias)?;
    float(match conv {
        ConvolutionTranspose::D1(options) => B::conv_transpose1d(x, weight, bias, options.clone()),
        ConvolutionTranspose::D2(options) => B::conv_transpose2d(x, weight, bias, options.clone()),
        ConvolutionTranspose::D3(options) => B::conv_transpose3d(x, weight, bias, options.clone()),
    })
}

/// Gradient of a transposed convolution; with respect to the input it takes `weight, grad`.
pub(super) fn conv_transpose_backward<B: Backend>(
    mut call: Call<B>,
    conv: &ConvolutionTranspose,
    to: WithRespectTo,
) -> Results<B> {
    let (first, second) = (call.float()?, call.float()?);
    float(match to {
        WithRespectTo::Input => match conv {
            ConvolutionTranspose::D1(options) => {
                B::conv_transpose1d_x_backward(first, second, options.clone())
            }
            ConvolutionTranspose::D2(options) => {
                B::conv_transpose2d_x_backward(first, second, options.clone())
            }
            ConvolutionTranspose::D3(options) => {
                B::conv_transpose3d_x_backward(first, second, options.clone())
            }
        },
        WithRespectTo::Weight => transpose_weight_backward::<B>(conv, first, second, call.float()?),
        WithRespectTo::Bias => {
            let grad = call.float()?;
            match conv {
                ConvolutionTranspose::D1(_) => {
                    B::conv_transpose1d_bias_backward(first, second, grad)
                }
                ConvolutionTranspose::D2(_) => {
                    B::conv_transpose2d_bias_backward(first, second, grad)
                }
                ConvolutionTranspose::D3(_) => {
                    B::conv_transpose3d_bias_backward(first, second, grad)
                }
            }
        }
    })
}

fn transpose_weight_backward<B: Backend>(
    conv: &ConvolutionTranspose,
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    match conv {
        ConvolutionTranspose::D1(options) => {
            B::conv_transpose1d_weight_backward(x, weight, grad, options.clone())
        }
        ConvolutionTranspose::D2(options) => {
            B::conv_transpose2d_weight_backward(x, weight, grad, options.clone())
        }
        ConvolutionTranspose::D3(options) => {
            B::conv_transpose3d_weight_backward(x, weight, grad, options.clone())
        }
    }
}

/// Patches of a 4-D image.
pub(super) fn unfold4d<B: Backend>(
    mut call: Call<B>,
    kernel: [usize; 2],
    options: UnfoldOptions,
) -> Results<B> {
    float(B::unfold4d(call.float()?, kernel, options))
}
