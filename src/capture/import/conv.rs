//! Imports convolutions, transposed ones and their backward operations.
//!
//! Burn has one type per operation and number of dimensions, with the same fields: one function each.

use burn_backend::ops::{ConvOptions, ConvTransposeOptions};
use burn_ir::{
    Conv1dBiasBackwardOpIr, Conv1dOpIr, Conv1dWeightBackwardOpIr, Conv1dXBackwardOpIr,
    Conv2dBiasBackwardOpIr, Conv2dOpIr, Conv2dWeightBackwardOpIr, Conv2dXBackwardOpIr,
    Conv3dBiasBackwardOpIr, Conv3dOpIr, Conv3dWeightBackwardOpIr, Conv3dXBackwardOpIr,
    ConvTranspose1dBiasBackwardOpIr, ConvTranspose1dOpIr, ConvTranspose1dWeightBackwardOpIr,
    ConvTranspose2dBiasBackwardOpIr, ConvTranspose2dOpIr, ConvTranspose2dWeightBackwardOpIr,
    ConvTranspose3dBiasBackwardOpIr, ConvTranspose3dOpIr, ConvTranspose3dWeightBackwardOpIr,
};

use super::{Imported, one};
use crate::graph::{
    Convolution::{D1, D2, D3},
    ConvolutionTranspose as Transpose, Op,
    WithRespectTo::{Bias, Input, Weight},
};

macro_rules! forward {
    ($($name:ident: $ir:ty => $op:ident, $dimensions:path;)+) => {$(
        pub(super) fn $name(ir: &$ir) -> Option<Imported> {
            let conv = $dimensions(ir.options.clone().into());
            let inputs: Vec<_> = [&ir.x, &ir.weight].into_iter().chain(&ir.bias).collect();
            one(Op::$op { conv, bias: ir.bias.is_some() }, &inputs, &ir.out)
        }
    )+};
}

forward! {
    conv1d: Conv1dOpIr => Conv, D1;
    conv2d: Conv2dOpIr => Conv, D2;
    conv3d: Conv3dOpIr => Conv, D3;
    transpose1d: ConvTranspose1dOpIr => ConvTranspose, Transpose::D1;
    transpose2d: ConvTranspose2dOpIr => ConvTranspose, Transpose::D2;
    transpose3d: ConvTranspose3dOpIr => ConvTranspose, Transpose::D3;
}

macro_rules! backward {
    ($($name:ident: $ir:ty => $op:ident, $dimensions:path, $to:ident;)+) => {$(
        pub(super) fn $name(ir: &$ir) -> Option<Imported> {
            let op = Op::$op($dimensions(ir.options.clone().into()), $to);
            one(op, &[&ir.x, &ir.weight, &ir.output_grad], &ir.out)
        }
    )+};
}

backward! {
    conv1d_input: Conv1dXBackwardOpIr => ConvBackward, D1, Input;
    conv2d_input: Conv2dXBackwardOpIr => ConvBackward, D2, Input;
    conv3d_input: Conv3dXBackwardOpIr => ConvBackward, D3, Input;
    conv1d_weight: Conv1dWeightBackwardOpIr => ConvBackward, D1, Weight;
    conv2d_weight: Conv2dWeightBackwardOpIr => ConvBackward, D2, Weight;
    conv3d_weight: Conv3dWeightBackwardOpIr => ConvBackward, D3, Weight;
    transpose1d_weight: ConvTranspose1dWeightBackwardOpIr => ConvTransposeBackward, Transpose::D1, Weight;
    transpose2d_weight: ConvTranspose2dWeightBackwardOpIr => ConvTransposeBackward, Transpose::D2, Weight;
    transpose3d_weight: ConvTranspose3dWeightBackwardOpIr => ConvTransposeBackward, Transpose::D3, Weight;
}

// Gradients of the bias depend on no option: plain ones stand in.
macro_rules! bias {
    ($($name:ident: $ir:ty => $op:ident, $convolution:expr;)+) => {$(
        pub(super) fn $name(ir: &$ir) -> Option<Imported> {
            one(Op::$op($convolution, Bias), &[&ir.x, &ir.bias, &ir.output_grad], &ir.out)
        }
    )+};
}

bias! {
    conv1d_bias: Conv1dBiasBackwardOpIr => ConvBackward, D1(plain());
    conv2d_bias: Conv2dBiasBackwardOpIr => ConvBackward, D2(plain());
    conv3d_bias: Conv3dBiasBackwardOpIr => ConvBackward, D3(plain());
    transpose1d_bias: ConvTranspose1dBiasBackwardOpIr => ConvTransposeBackward, Transpose::D1(plain_transpose());
    transpose2d_bias: ConvTranspose2dBiasBackwardOpIr => ConvTransposeBackward, Transpose::D2(plain_transpose());
    transpose3d_bias: ConvTranspose3dBiasBackwardOpIr => ConvTransposeBackward, Transpose::D3(plain_transpose());
}

fn plain<const N: usize>() -> ConvOptions<N> {
    ConvOptions::new([1; N], [0; N], [1; N], 1)
}

fn plain_transpose<const N: usize>() -> ConvTransposeOptions<N> {
    ConvTransposeOptions::new([1; N], [0; N], [0; N], [1; N], 1)
}
