//! Convolutions in groups, whose weight gradient is one convolution in groups.
//!
//! Burn's backends may compute a weight gradient as they like. One that is differentiated again is written down as a
//! convolution for each group, with slices and copies of all weights: thousands of operations for the depthwise convolutions
//! of a network. All groups together are one convolution:
//!
//! ```text
//! ∂/∂w ⟨conv(x, w), g⟩ = conv(x′, g′)ᵀ
//! x [n, groups·i, …] → x′ [i, groups·n, …]      g [n, groups·o, …] → g′ [groups·o, n, …]
//! ```
//!
//! with stride and dilation exchanged, as Burn writes it without groups. A transposed convolution has the same weight
//! gradient with x and g exchanged.

use burn_autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind, binary},
};
use burn_backend::{
    Backend, Shape, TensorMetadata,
    ops::{ConvOptions, ConvTransposeOptions},
    tensor::FloatTensor,
};

use super::{
    Context,
    primitive::{reshape, slice_dim},
};

/// A convolution without bias or output padding, and with the same padding on both sides.
#[derive(Clone, Debug)]
pub(crate) enum Conv {
    D2(ConvOptions<2>),
    D3(ConvOptions<3>),
    Transposed2(ConvOptions<2>),
    Transposed3(ConvOptions<3>),
}

impl Conv {
    fn groups(&self) -> usize {
        match self {
            Conv::D2(options) | Conv::Transposed2(options) => options.groups,
            Conv::D3(options) | Conv::Transposed3(options) => options.groups,
        }
    }
}

/// With a bias; in groups, this is added apart.
pub(super) fn convolution<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    conv: Conv,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    if conv.groups() == 1 {
        return run::<B>(x, weight, bias, conv);
    }
    with_bias::<B>((context.convolve)(x, weight, conv), bias)
}

/// The bias is added to each channel.
pub(super) fn with_bias<B: Backend>(
    y: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let Some(bias) = bias else {
        return y;
    };
    let mut shape = vec![1; y.shape().num_dims()];
    shape[1] = bias.shape().num_elements();
    B::float_add(y, reshape::<B>(bias, &shape))
}

/// Runs a convolution on an image and weights.
pub(super) type Convolve<B> = fn(FloatTensor<B>, FloatTensor<B>, Conv) -> FloatTensor<B>;

/// As the backend has it.
pub(super) fn convolve<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    conv: Conv,
) -> FloatTensor<B> {
    run::<B>(x, weight, None, conv)
}

fn run<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    conv: Conv,
) -> FloatTensor<B> {
    match conv {
        Conv::D2(options) => B::conv2d(x, weight, bias, options),
        Conv::D3(options) => B::conv3d(x, weight, bias, options),
        Conv::Transposed2(options) => B::conv_transpose2d(x, weight, bias, transposed(options)),
        Conv::Transposed3(options) => B::conv_transpose3d(x, weight, bias, transposed(options)),
    }
}

fn transposed<const N: usize>(options: ConvOptions<N>) -> ConvTransposeOptions<N> {
    let padding = options.padding_begin();
    ConvTransposeOptions::new(options.stride, padding, [0; N], options.dilation, options.groups)
}

/// On a tape, with a weight gradient that can be differentiated in few operations.
pub(super) fn convolve_on_tape<B: Backend>(
    x: FloatTensor<Autodiff<B>>,
    weight: FloatTensor<Autodiff<B>>,
    conv: Conv,
) -> FloatTensor<Autodiff<B>> {
    let (x, of_x) = x.into_parts();
    let (weight, of_weight) = weight.into_parts();
    match Grouped.prepare::<NoCheckpointing>([of_x, of_weight]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let state = (x.clone(), weight.clone(), conv.clone());
            prep.finish(state, convolve::<B>(x, weight, conv))
        }
        OpsKind::UnTracked(prep) => prep.finish(convolve::<B>(x, weight, conv)),
    }
}

#[derive(Debug)]
struct Grouped;

impl<B: Backend> Backward<B, 2> for Grouped {
    type State = (FloatTensor<B>, FloatTensor<B>, Conv);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (x, weight, conv) = ops.state;
        let (image, shape, same) = (x.clone(), weight.shape(), conv.clone());
        binary::<B, _, _>(
            ops.parents,
            ops.node,
            gradients,
            |g| input_gradient::<B>(image, weight, g, same),
            |g| weight_gradient::<B>(x, g, &shape, conv),
        );
    }
}

fn input_gradient<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    g: FloatTensor<B>,
    conv: Conv,
) -> FloatTensor<B> {
    match conv {
        Conv::D2(options) => B::conv2d_x_backward(x, weight, g, options),
        Conv::D3(options) => B::conv3d_x_backward(x, weight, g, options),
        Conv::Transposed2(options) => B::conv2d(g, weight, None, options),
        Conv::Transposed3(options) => B::conv3d(g, weight, None, options),
    }
}

fn weight_gradient<B: Backend>(
    x: FloatTensor<B>,
    g: FloatTensor<B>,
    weight: &Shape,
    conv: Conv,
) -> FloatTensor<B> {
    let (x, g) = match conv {
        Conv::D2(_) | Conv::D3(_) => (x, g),
        Conv::Transposed2(_) | Conv::Transposed3(_) => (g, x),
    };
    let gradient = match conv {
        Conv::D2(options) | Conv::Transposed2(options) => {
            let (x, g) = exchanged::<B>(x, g, options.groups);
            B::conv2d(x, g, None, turned(options))
        }
        Conv::D3(options) | Conv::Transposed3(options) => {
            let (x, g) = exchanged::<B>(x, g, options.groups);
            B::conv3d(x, g, None, turned(options))
        }
    };
    let gradient = B::float_swap_dims(gradient, 0, 1);
    // Longer where the stride does not divide.
    let axes = 2..weight.num_dims();
    axes.fold(gradient, |gradient, axis| slice_dim::<B>(gradient, axis, 0..weight[axis]))
}

fn turned<const N: usize>(options: ConvOptions<N>) -> ConvOptions<N> {
    let padding = options.padding_begin();
    ConvOptions::new(options.dilation, padding, options.stride, options.groups)
}

/// x′ and g′.
fn exchanged<B: Backend>(
    x: FloatTensor<B>,
    g: FloatTensor<B>,
    groups: usize,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let (batch, inputs, outputs) = (x.shape()[0], x.shape()[1] / groups, g.shape()[1]);
    let x = regrouped::<B>(x, groups, [2, 1, 0], [inputs, groups * batch]);
    (x, regrouped::<B>(g, groups, [1, 2, 0], [outputs, batch]))
}

/// Batch, groups and channels of a group in another order, merged into two dimensions.
fn regrouped<B: Backend>(
    x: FloatTensor<B>,
    groups: usize,
    order: [usize; 3],
    merged: [usize; 2],
) -> FloatTensor<B> {
    let shape = x.shape().to_vec();
    let (batch, channels, sizes) = (shape[0], shape[1], &shape[2..]);
    let apart = reshape::<B>(x, &[&[batch, groups, channels / groups], sizes].concat());
    let axes: Vec<usize> = order.into_iter().chain(3..3 + sizes.len()).collect();
    reshape::<B>(B::float_permute(apart, &axes), &[&merged, sizes].concat())
}
