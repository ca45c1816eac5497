//! Imports pools, interpolation and their backward operations.

use burn_ir::{
    AvgPool1dBackwardOpIr, AvgPool1dOpIr, AvgPool2dBackwardOpIr, AvgPool2dOpIr,
    InterpolateBackwardOpIr, InterpolateModeIr, InterpolateOpIr, MaxPool1dOpIr,
    MaxPool1dWithIndicesBackwardOpIr, MaxPool1dWithIndicesOpIr, MaxPool2dOpIr,
    MaxPool2dWithIndicesBackwardOpIr, MaxPool2dWithIndicesOpIr,
};

use super::{Imported, many, one};
use crate::graph::{Interpolation, Op, PoolWindow};

pub(super) fn average1d(ir: &AvgPool1dOpIr) -> Option<Imported> {
    let window = window([ir.kernel_size], [ir.stride], [ir.padding], ir.ceil_mode);
    let op = Op::AvgPool { window, count_include_pad: ir.count_include_pad };
    one(op, &[&ir.x], &ir.out)
}

pub(super) fn average2d(ir: &AvgPool2dOpIr) -> Option<Imported> {
    let window = window(ir.kernel_size, ir.stride, ir.padding, ir.ceil_mode);
    let op = Op::AvgPool { window, count_include_pad: ir.count_include_pad };
    one(op, &[&ir.x], &ir.out)
}

pub(super) fn average1d_backward(ir: &AvgPool1dBackwardOpIr) -> Option<Imported> {
    let window = window([ir.kernel_size], [ir.stride], [ir.padding], ir.ceil_mode);
    let op = Op::AvgPoolBackward { window, count_include_pad: ir.count_include_pad };
    one(op, &[&ir.x, &ir.grad], &ir.out)
}

pub(super) fn average2d_backward(ir: &AvgPool2dBackwardOpIr) -> Option<Imported> {
    let window = window(ir.kernel_size, ir.stride, ir.padding, ir.ceil_mode);
    let op = Op::AvgPoolBackward { window, count_include_pad: ir.count_include_pad };
    one(op, &[&ir.x, &ir.grad], &ir.out)
}

pub(super) fn max1d(ir: &MaxPool1dOpIr) -> Option<Imported> {
    let window =
        dilated(window([ir.kernel_size], [ir.stride], [ir.padding], ir.ceil_mode), [ir.dilation]);
    one(Op::MaxPool { window, indices: false }, &[&ir.x], &ir.out)
}

pub(super) fn max2d(ir: &MaxPool2dOpIr) -> Option<Imported> {
    let window = dilated(window(ir.kernel_size, ir.stride, ir.padding, ir.ceil_mode), ir.dilation);
    one(Op::MaxPool { window, indices: false }, &[&ir.x], &ir.out)
}

pub(super) fn max1d_with_indices(ir: &MaxPool1dWithIndicesOpIr) -> Option<Imported> {
    let window =
        dilated(window([ir.kernel_size], [ir.stride], [ir.padding], ir.ceil_mode), [ir.dilation]);
    let op = Op::MaxPool { window, indices: true };
    many(op, &[&ir.x], &[&ir.out, &ir.out_indices])
}

pub(super) fn max2d_with_indices(ir: &MaxPool2dWithIndicesOpIr) -> Option<Imported> {
    let window = dilated(window(ir.kernel_size, ir.stride, ir.padding, ir.ceil_mode), ir.dilation);
    let op = Op::MaxPool { window, indices: true };
    many(op, &[&ir.x], &[&ir.out, &ir.out_indices])
}

pub(super) fn max1d_backward(ir: &MaxPool1dWithIndicesBackwardOpIr) -> Option<Imported> {
    let window =
        dilated(window([ir.kernel_size], [ir.stride], [ir.padding], ir.ceil_mode), [ir.dilation]);
    one(Op::MaxPoolBackward(window), &[&ir.x, &ir.grad, &ir.indices], &ir.out)
}

pub(super) fn max2d_backward(ir: &MaxPool2dWithIndicesBackwardOpIr) -> Option<Imported> {
    let window = dilated(window(ir.kernel_size, ir.stride, ir.padding, ir.ceil_mode), ir.dilation);
    one(Op::MaxPoolBackward(window), &[&ir.x, &ir.grad, &ir.indices], &ir.out)
}

pub(super) fn interpolate(ir: &InterpolateOpIr) -> Option<Imported> {
    let (mode, align_corners) = (interpolation(&ir.options.mode), ir.options.align_corners);
    one(Op::Interpolate { mode, align_corners }, &[&ir.x], &ir.out)
}

pub(super) fn interpolate_backward(ir: &InterpolateBackwardOpIr) -> Option<Imported> {
    let (mode, align_corners) = (interpolation(&ir.options.mode), ir.options.align_corners);
    one(Op::InterpolateBackward { mode, align_corners }, &[&ir.x, &ir.grad], &ir.out)
}

fn window<const N: usize>(
    kernel: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
    ceil_mode: bool,
) -> PoolWindow {
    PoolWindow {
        kernel: kernel.to_vec(),
        stride: stride.to_vec(),
        padding: padding.to_vec(),
        dilation: vec![1; N],
        ceil_mode,
    }
}

fn dilated<const N: usize>(window: PoolWindow, dilation: [usize; N]) -> PoolWindow {
    PoolWindow { dilation: dilation.to_vec(), ..window }
}

/// Our name of an interpolation method.
pub(super) fn interpolation(mode: &InterpolateModeIr) -> Interpolation {
    match mode {
        InterpolateModeIr::Nearest => Interpolation::Nearest,
        InterpolateModeIr::NearestExact => Interpolation::NearestExact,
        InterpolateModeIr::Bilinear => Interpolation::Bilinear,
        InterpolateModeIr::Bicubic => Interpolation::Bicubic,
        InterpolateModeIr::Lanczos3 => Interpolation::Lanczos3,
    }
}
