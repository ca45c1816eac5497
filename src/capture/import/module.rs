//! Imports layers, one line per operation of Burn's, so that the compiler asks for a new one.

use burn_ir::{
    AttentionOpIr, BatchNormOpIr, CtcLossBackwardOpIr, CtcLossOpIr, LayerNormOpIr,
    ModuleOperationIr, ScalarIr, TensorIr,
};

use super::{Imported, conv, literal, one, pool};
use crate::graph::{Op, WithRespectTo};

/// Layers, with convolutions and pools.
pub(super) fn operation(ir: &ModuleOperationIr) -> Option<Imported> {
    use ModuleOperationIr as Ir;
    match ir {
        Ir::BatchNorm(ir) => batch_norm(ir),
        Ir::LayerNorm(ir) => layer_norm(ir),
        Ir::Embedding(ir) => one(Op::Embedding, &[&ir.weights, &ir.indices], &ir.out),
        Ir::EmbeddingBackward(ir) => {
            let inputs = [&ir.weights, &ir.out_grad, &ir.indices];
            one(Op::EmbeddingBackward, &inputs, &ir.out)
        }
        Ir::Linear(ir) => {
            let bias = ir.bias.is_some();
            let inputs: Vec<_> = [&ir.x, &ir.weight].into_iter().chain(&ir.bias).collect();
            one(Op::Linear { bias }, &inputs, &ir.out)
        }
        Ir::LinearXBackward(ir) => {
            let op = Op::LinearBackward(WithRespectTo::Input);
            one(op, &[&ir.weight, &ir.output_grad], &ir.out)
        }
        Ir::LinearWeightBackward(ir) => {
            let op = Op::LinearBackward(WithRespectTo::Weight);
            one(op, &[&ir.x, &ir.output_grad], &ir.out)
        }
        Ir::LinearBiasBackward(ir) => {
            let op = Op::LinearBackward(WithRespectTo::Bias);
            one(op, &[&ir.output_grad], &ir.out)
        }
        Ir::Unfold4d(ir) => {
            let (kernel, stride) = (ir.kernel_size, ir.options.stride);
            let (padding, dilation) = (ir.options.padding, ir.options.dilation);
            one(Op::Unfold4d { kernel, stride, padding, dilation }, &[&ir.x], &ir.out)
        }
        Ir::Attention(ir) => attention(ir),
        Ir::CtcLoss(ir) => ctc_loss(ir),
        Ir::CtcLossBackward(ir) => ctc_loss_backward(ir),
        Ir::Conv1d(ir) => conv::conv1d(ir),
        Ir::Conv2d(ir) => conv::conv2d(ir),
        Ir::Conv3d(ir) => conv::conv3d(ir),
        Ir::Conv1dXBackward(ir) => conv::conv1d_input(ir),
        Ir::Conv2dXBackward(ir) => conv::conv2d_input(ir),
        Ir::Conv3dXBackward(ir) => conv::conv3d_input(ir),
        Ir::Conv1dWeightBackward(ir) => conv::conv1d_weight(ir),
        Ir::Conv2dWeightBackward(ir) => conv::conv2d_weight(ir),
        Ir::Conv3dWeightBackward(ir) => conv::conv3d_weight(ir),
        Ir::Conv1dBiasBackward(ir) => conv::conv1d_bias(ir),
        Ir::Conv2dBiasBackward(ir) => conv::conv2d_bias(ir),
        Ir::Conv3dBiasBackward(ir) => conv::conv3d_bias(ir),
        Ir::ConvTranspose1d(ir) => conv::transpose1d(ir),
        Ir::ConvTranspose2d(ir) => conv::transpose2d(ir),
        Ir::ConvTranspose3d(ir) => conv::transpose3d(ir),
        Ir::ConvTranspose1dWeightBackward(ir) => conv::transpose1d_weight(ir),
        Ir::ConvTranspose2dWeightBackward(ir) => conv::transpose2d_weight(ir),
        Ir::ConvTranspose3dWeightBackward(ir) => conv::transpose3d_weight(ir),
        Ir::ConvTranspose1dBiasBackward(ir) => conv::transpose1d_bias(ir),
        Ir::ConvTranspose2dBiasBackward(ir) => conv::transpose2d_bias(ir),
        Ir::ConvTranspose3dBiasBackward(ir) => conv::transpose3d_bias(ir),
        Ir::AvgPool1d(ir) => pool::average1d(ir),
        Ir::AvgPool2d(ir) => pool::average2d(ir),
        Ir::AvgPool1dBackward(ir) => pool::average1d_backward(ir),
        Ir::AvgPool2dBackward(ir) => pool::average2d_backward(ir),
        Ir::AdaptiveAvgPool1d(ir) => one(Op::AdaptiveAvgPool, &[&ir.x], &ir.out),
        Ir::AdaptiveAvgPool2d(ir) => one(Op::AdaptiveAvgPool, &[&ir.x], &ir.out),
        Ir::AdaptiveAvgPool3d(ir) => one(Op::AdaptiveAvgPool, &[&ir.x], &ir.out),
        Ir::AdaptiveAvgPool1dBackward(ir) => adaptive_backward([&ir.x, &ir.grad, &ir.out]),
        Ir::AdaptiveAvgPool2dBackward(ir) => adaptive_backward([&ir.x, &ir.grad, &ir.out]),
        Ir::AdaptiveAvgPool3dBackward(ir) => adaptive_backward([&ir.x, &ir.grad, &ir.out]),
        Ir::MaxPool1d(ir) => pool::max1d(ir),
        Ir::MaxPool2d(ir) => pool::max2d(ir),
        Ir::MaxPool1dWithIndices(ir) => pool::max1d_with_indices(ir),
        Ir::MaxPool2dWithIndices(ir) => pool::max2d_with_indices(ir),
        Ir::MaxPool1dWithIndicesBackward(ir) => pool::max1d_backward(ir),
        Ir::MaxPool2dWithIndicesBackward(ir) => pool::max2d_backward(ir),
        Ir::Interpolate(ir) => pool::interpolate(ir),
        Ir::InterpolateBackward(ir) => pool::interpolate_backward(ir),
        Ir::DeformableConv2d(_) | Ir::DeformableConv2dBackward(_) => None,
    }
}

fn batch_norm(ir: &BatchNormOpIr) -> Option<Imported> {
    let op = Op::BatchNorm { epsilon: number(ir.epsilon) };
    one(op, &[&ir.x, &ir.gamma, &ir.beta, &ir.mean, &ir.variance], &ir.out)
}

fn layer_norm(ir: &LayerNormOpIr) -> Option<Imported> {
    let op = Op::LayerNorm { epsilon: number(ir.epsilon), beta: ir.beta.is_some() };
    let inputs: Vec<_> = [&ir.input, &ir.gamma].into_iter().chain(&ir.beta).collect();
    one(op, &inputs, &ir.out)
}

fn ctc_loss(ir: &CtcLossOpIr) -> Option<Imported> {
    let inputs = [&ir.log_probs, &ir.targets, &ir.input_lengths, &ir.target_lengths];
    one(Op::CtcLoss { blank: ir.blank }, &inputs, &ir.out)
}

fn ctc_loss_backward(ir: &CtcLossBackwardOpIr) -> Option<Imported> {
    let lengths = [&ir.input_lengths, &ir.target_lengths];
    let inputs = [&ir.log_probs, &ir.targets, lengths[0], lengths[1], &ir.grad_loss];
    one(Op::CtcLossBackward { blank: ir.blank }, &inputs, &ir.out)
}

fn adaptive_backward([x, grad, out]: [&TensorIr; 3]) -> Option<Imported> {
    one(Op::AdaptiveAvgPoolBackward, &[x, grad], out)
}

fn number(scalar: ScalarIr) -> f64 {
    literal(scalar).as_f64()
}

fn attention(ir: &AttentionOpIr) -> Option<Imported> {
    let op = Op::Attention {
        mask: ir.mask.is_some(),
        attn_bias: ir.attn_bias.is_some(),
        scale: ir.options.scale.map(number),
        softcap: ir.options.softcap.map(number),
        is_causal: ir.options.is_causal,
    };
    let inputs: Vec<&TensorIr> =
        [&ir.query, &ir.key, &ir.value].into_iter().chain(&ir.mask).chain(&ir.attn_bias).collect();
    one(op, &inputs, &ir.out)
}
