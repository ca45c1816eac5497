//! Imports layers that are neither convolutions nor pools; sends those on.

use burn_ir::{AttentionOpIr, ModuleOperationIr, ScalarIr, TensorIr};

use super::{Imported, conv, literal, one, pool};
use crate::graph::{Op, WithRespectTo};

/// Layers.
pub(super) fn operation(ir: &ModuleOperationIr) -> Option<Imported> {
    use ModuleOperationIr as Ir;
    match ir {
        Ir::BatchNorm(ir) => {
            let epsilon = number(ir.epsilon);
            let inputs = [&ir.x, &ir.gamma, &ir.beta, &ir.mean, &ir.variance];
            one(Op::BatchNorm { epsilon }, &inputs, &ir.out)
        }
        Ir::LayerNorm(ir) => {
            let op = Op::LayerNorm { epsilon: number(ir.epsilon), beta: ir.beta.is_some() };
            let inputs: Vec<_> = [&ir.input, &ir.gamma].into_iter().chain(&ir.beta).collect();
            one(op, &inputs, &ir.out)
        }
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
            let op = Op::Unfold4d {
                kernel: ir.kernel_size,
                stride: ir.options.stride,
                padding: ir.options.padding,
                dilation: ir.options.dilation,
            };
            one(op, &[&ir.x], &ir.out)
        }
        Ir::Attention(ir) => attention(ir),
        Ir::CtcLoss(ir) => {
            let blank = ir.blank;
            let mut inputs = vec![&ir.log_probs, &ir.targets];
            inputs.extend([&ir.input_lengths, &ir.target_lengths]);
            one(Op::CtcLoss { blank }, &inputs, &ir.out)
        }
        Ir::CtcLossBackward(ir) => {
            let blank = ir.blank;
            let mut inputs = vec![&ir.log_probs, &ir.targets];
            inputs.extend([&ir.input_lengths, &ir.target_lengths, &ir.grad_loss]);
            one(Op::CtcLossBackward { blank }, &inputs, &ir.out)
        }
        Ir::DeformableConv2d(_) | Ir::DeformableConv2dBackward(_) => None,
        _ => conv::operation(ir).or_else(|| pool::operation(ir)),
    }
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
