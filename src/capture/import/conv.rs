//! Imports convolutions, transposed ones and their backward operations.

use burn_backend::ops::{ConvOptions, ConvTransposeOptions};
use burn_ir::{ModuleOperationIr, TensorIr};

use super::{Imported, one};
use crate::graph::{Convolution, ConvolutionTranspose, Op, WithRespectTo};

/// Convolutions; `None` where the operation is none.
pub(super) fn operation(ir: &ModuleOperationIr) -> Option<Imported> {
    use ModuleOperationIr as Ir;
    match ir {
        Ir::Conv1d(ir) => {
            let options = Convolution::D1(ir.options.clone().into());
            forward(options, [&ir.x, &ir.weight], &ir.bias, &ir.out)
        }
        Ir::Conv2d(ir) => {
            let options = Convolution::D2(ir.options.clone().into());
            forward(options, [&ir.x, &ir.weight], &ir.bias, &ir.out)
        }
        Ir::Conv3d(ir) => {
            let options = Convolution::D3(ir.options.clone().into());
            forward(options, [&ir.x, &ir.weight], &ir.bias, &ir.out)
        }
        Ir::ConvTranspose1d(ir) => {
            let options = ConvolutionTranspose::D1(ir.options.clone().into());
            transpose(options, [&ir.x, &ir.weight], &ir.bias, &ir.out)
        }
        Ir::ConvTranspose2d(ir) => {
            let options = ConvolutionTranspose::D2(ir.options.clone().into());
            transpose(options, [&ir.x, &ir.weight], &ir.bias, &ir.out)
        }
        Ir::ConvTranspose3d(ir) => {
            let options = ConvolutionTranspose::D3(ir.options.clone().into());
            transpose(options, [&ir.x, &ir.weight], &ir.bias, &ir.out)
        }
        _ => input_or_weight(ir).or_else(|| bias(ir)),
    }
}

fn forward(
    conv: Convolution,
    [x, weight]: [&TensorIr; 2],
    bias: &Option<TensorIr>,
    out: &TensorIr,
) -> Option<Imported> {
    let inputs: Vec<&TensorIr> = [x, weight].into_iter().chain(bias).collect();
    let bias = bias.is_some();
    one(Op::Conv { conv, bias }, &inputs, out)
}

fn transpose(
    conv: ConvolutionTranspose,
    [x, weight]: [&TensorIr; 2],
    bias: &Option<TensorIr>,
    out: &TensorIr,
) -> Option<Imported> {
    let inputs: Vec<&TensorIr> = [x, weight].into_iter().chain(bias).collect();
    let bias = bias.is_some();
    one(Op::ConvTranspose { conv, bias }, &inputs, out)
}

fn input_or_weight(ir: &ModuleOperationIr) -> Option<Imported> {
    use ModuleOperationIr as Ir;
    use WithRespectTo::{Input, Weight};
    match ir {
        Ir::Conv1dXBackward(ir) => {
            let op = Op::ConvBackward(Convolution::D1(ir.options.clone().into()), Input);
            one(op, &[&ir.x, &ir.weight, &ir.output_grad], &ir.out)
        }
        Ir::Conv2dXBackward(ir) => {
            let op = Op::ConvBackward(Convolution::D2(ir.options.clone().into()), Input);
            one(op, &[&ir.x, &ir.weight, &ir.output_grad], &ir.out)
        }
        Ir::Conv3dXBackward(ir) => {
            let op = Op::ConvBackward(Convolution::D3(ir.options.clone().into()), Input);
            one(op, &[&ir.x, &ir.weight, &ir.output_grad], &ir.out)
        }
        Ir::Conv1dWeightBackward(ir) => {
            let op = Op::ConvBackward(Convolution::D1(ir.options.clone().into()), Weight);
            one(op, &[&ir.x, &ir.weight, &ir.output_grad], &ir.out)
        }
        Ir::Conv2dWeightBackward(ir) => {
            let op = Op::ConvBackward(Convolution::D2(ir.options.clone().into()), Weight);
            one(op, &[&ir.x, &ir.weight, &ir.output_grad], &ir.out)
        }
        Ir::Conv3dWeightBackward(ir) => {
            let op = Op::ConvBackward(Convolution::D3(ir.options.clone().into()), Weight);
            one(op, &[&ir.x, &ir.weight, &ir.output_grad], &ir.out)
        }
        Ir::ConvTranspose1dWeightBackward(ir) => {
            let conv = ConvolutionTranspose::D1(ir.options.clone().into());
            let op = Op::ConvTransposeBackward(conv, Weight);
            one(op, &[&ir.x, &ir.weight, &ir.output_grad], &ir.out)
        }
        Ir::ConvTranspose2dWeightBackward(ir) => {
            let conv = ConvolutionTranspose::D2(ir.options.clone().into());
            let op = Op::ConvTransposeBackward(conv, Weight);
            one(op, &[&ir.x, &ir.weight, &ir.output_grad], &ir.out)
        }
        Ir::ConvTranspose3dWeightBackward(ir) => {
            let conv = ConvolutionTranspose::D3(ir.options.clone().into());
            let op = Op::ConvTransposeBackward(conv, Weight);
            one(op, &[&ir.x, &ir.weight, &ir.output_grad], &ir.out)
        }
        _ => None,
    }
}

/// Gradients of the bias, which depend on no option: plain ones stand in.
fn bias(ir: &ModuleOperationIr) -> Option<Imported> {
    use ModuleOperationIr as Ir;
    use WithRespectTo::Bias;
    match ir {
        Ir::Conv1dBiasBackward(ir) => {
            let op = Op::ConvBackward(Convolution::D1(plain()), Bias);
            one(op, &[&ir.x, &ir.bias, &ir.output_grad], &ir.out)
        }
        Ir::Conv2dBiasBackward(ir) => {
            let op = Op::ConvBackward(Convolution::D2(plain()), Bias);
            one(op, &[&ir.x, &ir.bias, &ir.output_grad], &ir.out)
        }
        Ir::Conv3dBiasBackward(ir) => {
            let op = Op::ConvBackward(Convolution::D3(plain()), Bias);
            one(op, &[&ir.x, &ir.bias, &ir.output_grad], &ir.out)
        }
        Ir::ConvTranspose1dBiasBackward(ir) => {
            let conv = ConvolutionTranspose::D1(plain_transpose());
            let op = Op::ConvTransposeBackward(conv, Bias);
            one(op, &[&ir.x, &ir.bias, &ir.output_grad], &ir.out)
        }
        Ir::ConvTranspose2dBiasBackward(ir) => {
            let conv = ConvolutionTranspose::D2(plain_transpose());
            let op = Op::ConvTransposeBackward(conv, Bias);
            one(op, &[&ir.x, &ir.bias, &ir.output_grad], &ir.out)
        }
        Ir::ConvTranspose3dBiasBackward(ir) => {
            let conv = ConvolutionTranspose::D3(plain_transpose());
            let op = Op::ConvTransposeBackward(conv, Bias);
            one(op, &[&ir.x, &ir.bias, &ir.output_grad], &ir.out)
        }
        _ => None,
    }
}

fn plain<const N: usize>() -> ConvOptions<N> {
    ConvOptions::new([1; N], [0; N], [1; N], 1)
}

fn plain_transpose<const N: usize>() -> ConvTransposeOptions<N> {
    ConvTransposeOptions::new([1; N], [0; N], [0; N], [1; N], 1)
}
