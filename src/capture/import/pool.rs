//! Imports pools, interpolation and their backward operations.

use burn_ir::{InterpolateModeIr, ModuleOperationIr};

use super::{Imported, many, one};
use crate::graph::{Interpolation, Op, PoolWindow};

/// Average pools and interpolation; `None` where the operation is neither, nor a max pool.
pub(super) fn operation(ir: &ModuleOperationIr) -> Option<Imported> {
    use ModuleOperationIr as Ir;
    match ir {
        Ir::AvgPool1d(ir) => {
            let op = Op::AvgPool {
                window: window([ir.kernel_size], [ir.stride], [ir.padding], ir.ceil_mode),
                count_include_pad: ir.count_include_pad,
            };
            one(op, &[&ir.x], &ir.out)
        }
        Ir::AvgPool2d(ir) => {
            let op = Op::AvgPool {
                window: window(ir.kernel_size, ir.stride, ir.padding, ir.ceil_mode),
                count_include_pad: ir.count_include_pad,
            };
            one(op, &[&ir.x], &ir.out)
        }
        Ir::AvgPool1dBackward(ir) => {
            let op = Op::AvgPoolBackward {
                window: window([ir.kernel_size], [ir.stride], [ir.padding], ir.ceil_mode),
                count_include_pad: ir.count_include_pad,
            };
            one(op, &[&ir.x, &ir.grad], &ir.out)
        }
        Ir::AvgPool2dBackward(ir) => {
            let op = Op::AvgPoolBackward {
                window: window(ir.kernel_size, ir.stride, ir.padding, ir.ceil_mode),
                count_include_pad: ir.count_include_pad,
            };
            one(op, &[&ir.x, &ir.grad], &ir.out)
        }
        Ir::AdaptiveAvgPool1d(ir) => one(Op::AdaptiveAvgPool, &[&ir.x], &ir.out),
        Ir::AdaptiveAvgPool2d(ir) => one(Op::AdaptiveAvgPool, &[&ir.x], &ir.out),
        Ir::AdaptiveAvgPool3d(ir) => one(Op::AdaptiveAvgPool, &[&ir.x], &ir.out),
        Ir::AdaptiveAvgPool1dBackward(ir) => {
            one(Op::AdaptiveAvgPoolBackward, &[&ir.x, &ir.grad], &ir.out)
        }
        Ir::AdaptiveAvgPool2dBackward(ir) => {
            one(Op::AdaptiveAvgPoolBackward, &[&ir.x, &ir.grad], &ir.out)
        }
        Ir::AdaptiveAvgPool3dBackward(ir) => {
            one(Op::AdaptiveAvgPoolBackward, &[&ir.x, &ir.grad], &ir.out)
        }
        Ir::Interpolate(ir) => {
            let op = Op::Interpolate {
                mode: interpolation(&ir.options.mode),
                align_corners: ir.options.align_corners,
            };
            one(op, &[&ir.x], &ir.out)
        }
        Ir::InterpolateBackward(ir) => {
            let op = Op::InterpolateBackward {
                mode: interpolation(&ir.options.mode),
                align_corners: ir.options.align_corners,
            };
            one(op, &[&ir.x, &ir.grad], &ir.out)
        }
        _ => max_pool(ir),
    }
}

fn max_pool(ir: &ModuleOperationIr) -> Option<Imported> {
    use ModuleOperationIr as Ir;
    match ir {
        Ir::MaxPool1d(ir) => {
            let window = window([ir.kernel_size], [ir.stride], [ir.padding], ir.ceil_mode);
            let window = dilated(window, [ir.dilation]);
            let indices = false;
            one(Op::MaxPool { window, indices }, &[&ir.x], &ir.out)
        }
        Ir::MaxPool2d(ir) => {
            let window = window(ir.kernel_size, ir.stride, ir.padding, ir.ceil_mode);
            let window = dilated(window, ir.dilation);
            let indices = false;
            one(Op::MaxPool { window, indices }, &[&ir.x], &ir.out)
        }
        Ir::MaxPool1dWithIndices(ir) => {
            let window = window([ir.kernel_size], [ir.stride], [ir.padding], ir.ceil_mode);
            let window = dilated(window, [ir.dilation]);
            let op = Op::MaxPool { window, indices: true };
            many(op, &[&ir.x], &[&ir.out, &ir.out_indices])
        }
        Ir::MaxPool2dWithIndices(ir) => {
            let window = window(ir.kernel_size, ir.stride, ir.padding, ir.ceil_mode);
            let window = dilated(window, ir.dilation);
            let op = Op::MaxPool { window, indices: true };
            many(op, &[&ir.x], &[&ir.out, &ir.out_indices])
        }
        Ir::MaxPool1dWithIndicesBackward(ir) => {
            let window = window([ir.kernel_size], [ir.stride], [ir.padding], ir.ceil_mode);
            let op = Op::MaxPoolBackward(dilated(window, [ir.dilation]));
            one(op, &[&ir.x, &ir.grad, &ir.indices], &ir.out)
        }
        Ir::MaxPool2dWithIndicesBackward(ir) => {
            let window = window(ir.kernel_size, ir.stride, ir.padding, ir.ceil_mode);
            let op = Op::MaxPoolBackward(dilated(window, ir.dilation));
            one(op, &[&ir.x, &ir.grad, &ir.indices], &ir.out)
        }
        _ => None,
    }
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
