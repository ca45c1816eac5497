//! Imports operations that exist for one kind of tensor only, and activations.

use burn_ir::{
    ActivationOperationIr, BoolOperationIr, CastOpIr, DimOpIr, FloatOperationIr,
    GridSamplePaddingModeIr, IntOperationIr,
};

use super::{
    Imported, literal,
    numeric::{binary, scalar, unary},
    one,
    pool::interpolation,
};
use crate::graph::{Binary, GridPadding, Op, Softmax, Unary};

/// Operations on float tensors.
pub(super) fn operation(ir: &FloatOperationIr) -> Option<Imported> {
    use FloatOperationIr as Ir;
    match ir {
        Ir::Exp(ir) => unary(Unary::Exp, ir),
        Ir::Log(ir) => unary(Unary::Log, ir),
        Ir::Log1p(ir) => unary(Unary::Log1p, ir),
        Ir::Erf(ir) => unary(Unary::Erf, ir),
        Ir::Sqrt(ir) => unary(Unary::Sqrt, ir),
        Ir::Cos(ir) => unary(Unary::Cos, ir),
        Ir::Cosh(ir) => unary(Unary::Cosh, ir),
        Ir::Sin(ir) => unary(Unary::Sin, ir),
        Ir::Sinh(ir) => unary(Unary::Sinh, ir),
        Ir::Tan(ir) => unary(Unary::Tan, ir),
        Ir::Tanh(ir) => unary(Unary::Tanh, ir),
        Ir::ArcCos(ir) => unary(Unary::ArcCos, ir),
        Ir::ArcCosh(ir) => unary(Unary::ArcCosh, ir),
        Ir::ArcSin(ir) => unary(Unary::ArcSin, ir),
        Ir::ArcSinh(ir) => unary(Unary::ArcSinh, ir),
        Ir::ArcTan(ir) => unary(Unary::ArcTan, ir),
        Ir::ArcTanh(ir) => unary(Unary::ArcTanh, ir),
        Ir::Round(ir) => unary(Unary::Round, ir),
        Ir::Floor(ir) => unary(Unary::Floor, ir),
        Ir::Ceil(ir) => unary(Unary::Ceil, ir),
        Ir::Trunc(ir) => unary(Unary::Trunc, ir),
        Ir::Recip(ir) => unary(Unary::Recip, ir),
        Ir::IsNan(ir) => unary(Unary::IsNan, ir),
        Ir::IsInf(ir) => unary(Unary::IsInf, ir),
        Ir::ArcTan2(ir) => binary(Binary::ArcTan2, ir),
        Ir::Powf(ir) => binary(Binary::Powf, ir),
        Ir::Hypot(ir) => binary(Binary::Hypot, ir),
        Ir::PowfScalar(ir) => scalar(Binary::Powf, ir),
        Ir::IntoInt(ir) => cast(ir),
        Ir::Random(ir) => one(Op::Random(ir.distribution), &[], &ir.out),
        Ir::Matmul(ir) => one(Op::Matmul, &[&ir.lhs, &ir.rhs], &ir.out),
        Ir::Cross(ir) => one(Op::Cross(ir.dim), &[&ir.lhs, &ir.rhs], &ir.out),
        Ir::GridSample2d(ir) => {
            let op = Op::GridSample2d {
                mode: interpolation(&ir.options.mode),
                padding: match ir.options.padding_mode {
                    GridSamplePaddingModeIr::Zeros => GridPadding::Zeros,
                    GridSamplePaddingModeIr::Border => GridPadding::Border,
                    GridSamplePaddingModeIr::Reflection => GridPadding::Reflection,
                },
                align_corners: ir.options.align_corners,
            };
            one(op, &[&ir.tensor, &ir.grid], &ir.out)
        }
        Ir::Quantize(_) | Ir::Dequantize(_) => None,
    }
}

fn cast(ir: &CastOpIr) -> Option<Imported> {
    one(Op::Cast, &[&ir.input], &ir.out)
}

/// Operations on int tensors.
pub(super) fn int_operation(ir: &IntOperationIr) -> Option<Imported> {
    use IntOperationIr as Ir;
    match ir {
        Ir::IntoFloat(ir) => cast(ir),
        Ir::BitwiseAnd(ir) => binary(Binary::And, ir),
        Ir::BitwiseOr(ir) => binary(Binary::Or, ir),
        Ir::BitwiseXor(ir) => binary(Binary::Xor, ir),
        Ir::BitwiseLeftShift(ir) => binary(Binary::ShiftLeft, ir),
        Ir::BitwiseRightShift(ir) => binary(Binary::ShiftRight, ir),
        Ir::BitwiseAndScalar(ir) => scalar(Binary::And, ir),
        Ir::BitwiseOrScalar(ir) => scalar(Binary::Or, ir),
        Ir::BitwiseXorScalar(ir) => scalar(Binary::Xor, ir),
        Ir::BitwiseLeftShiftScalar(ir) => scalar(Binary::ShiftLeft, ir),
        Ir::BitwiseRightShiftScalar(ir) => scalar(Binary::ShiftRight, ir),
        Ir::BitwiseNot(ir) => unary(Unary::Not, ir),
        Ir::Matmul(ir) => one(Op::Matmul, &[&ir.lhs, &ir.rhs], &ir.out),
    }
}

/// Operations on bool tensors.
pub(super) fn bool_operation(ir: &BoolOperationIr) -> Option<Imported> {
    match ir {
        BoolOperationIr::IntoFloat(ir) | BoolOperationIr::IntoInt(ir) => cast(ir),
        BoolOperationIr::Not(ir) => unary(Unary::Not, ir),
        BoolOperationIr::And(ir) => binary(Binary::And, ir),
        BoolOperationIr::Or(ir) => binary(Binary::Or, ir),
        BoolOperationIr::Xor(ir) => binary(Binary::Xor, ir),
    }
}

/// Activations.
pub(super) fn activation(ir: &ActivationOperationIr) -> Option<Imported> {
    use ActivationOperationIr as Ir;
    match ir {
        Ir::Relu(ir) => unary(Unary::Relu, ir),
        Ir::Gelu(ir) => unary(Unary::Gelu, ir),
        Ir::Sigmoid(ir) => unary(Unary::Sigmoid, ir),
        Ir::LogSigmoid(ir) => unary(Unary::LogSigmoid, ir),
        Ir::LeakyRelu(ir) => scalar(Binary::LeakyRelu, ir),
        Ir::PRelu(ir) => binary(Binary::PRelu, ir),
        Ir::ReluBackward(ir) => binary(Binary::ReluBackward, ir),
        Ir::GeluBackward(ir) => binary(Binary::GeluBackward, ir),
        Ir::SigmoidBackward(ir) => binary(Binary::SigmoidBackward, ir),
        Ir::LogSigmoidBackward(ir) => binary(Binary::LogSigmoidBackward, ir),
        Ir::HardSigmoid(ir) => {
            let op = Op::HardSigmoid { alpha: literal(ir.alpha), beta: literal(ir.beta) };
            one(op, &[&ir.tensor], &ir.out)
        }
        Ir::Softmax(ir) => softmax(Softmax::Softmax, ir),
        Ir::LogSoftmax(ir) => softmax(Softmax::LogSoftmax, ir),
        Ir::Softmin(ir) => softmax(Softmax::Softmin, ir),
    }
}

fn softmax(function: Softmax, ir: &DimOpIr) -> Option<Imported> {
    one(Op::Softmax(function, ir.axis), &[&ir.input], &ir.out)
}
