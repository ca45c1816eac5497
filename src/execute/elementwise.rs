//! Runs operations that act element by element, of one or two operands.

use burn_backend::{
    Backend, Scalar, TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};

use super::{
    ExecuteError, Operand,
    call::{Call, Results, bool, float, int},
};
use crate::graph::{Binary, Kind, Literal, Unary};

/// `x` in another element type, or of another kind.
pub(super) fn cast<B: Backend>(mut call: Call<B>) -> Results<B> {
    let target = call.output(0)?;
    match (call.any()?, target.kind()) {
        (Operand::Float(x), Kind::Float) if x.dtype() == target.dtype => float(x),
        (Operand::Float(x), Kind::Float) => float(B::float_cast(x, call.float_dtype(0)?)),
        (Operand::Float(x), Kind::Int) => int(B::float_into_int(x, call.int_dtype(0)?)),
        (Operand::Int(x), Kind::Int) if x.dtype() == target.dtype => int(x),
        (Operand::Int(x), Kind::Int) => int(B::int_cast(x, call.int_dtype(0)?)),
        (Operand::Int(x), Kind::Float) => float(B::int_into_float(x, call.float_dtype(0)?)),
        (Operand::Bool(x), Kind::Bool) => bool(x),
        (Operand::Bool(x), Kind::Int) => int(B::bool_into_int(x, call.int_dtype(0)?)),
        (Operand::Bool(x), Kind::Float) => float(B::bool_into_float(x, call.float_dtype(0)?)),
        (Operand::Float(_) | Operand::Int(_), Kind::Bool) => {
            Err(call.unsupported("bool, or a comparison with zero,"))
        }
    }
}

/// `x` off the tape, if there is one.
pub(super) fn stop_gradient<B: Backend>(mut call: Call<B>) -> Results<B> {
    float(B::float_detach(call.float()?))
}

/// One operand.
pub(super) fn unary<B: Backend>(mut call: Call<B>, function: Unary) -> Results<B> {
    match (call.any()?, function) {
        (Operand::Float(x), _) => unary_float(&call, function, x),
        (Operand::Int(x), Unary::Abs) => int(B::int_abs(x)),
        (Operand::Int(x), Unary::Neg) => int(B::int_neg(x)),
        (Operand::Int(x), Unary::Sign) => int(B::int_sign(x)),
        (Operand::Int(x), Unary::Not) => int(B::bitwise_not(x)),
        (Operand::Bool(x), Unary::Not) => bool(B::bool_not(x)),
        (Operand::Int(_) | Operand::Bool(_), _) => Err(call.unsupported("float")),
    }
}

fn unary_float<B: Backend>(call: &Call<B>, function: Unary, x: FloatTensor<B>) -> Results<B> {
    float(match function {
        Unary::Abs => B::float_abs(x),
        Unary::Neg => B::float_neg(x),
        Unary::Sign => B::float_sign(x),
        Unary::Exp => B::float_exp(x),
        Unary::Log => B::float_log(x),
        Unary::Log1p => B::float_log1p(x),
        Unary::Erf => B::float_erf(x),
        Unary::Sqrt => B::float_sqrt(x),
        Unary::Recip => B::float_recip(x),
        Unary::Sin => B::float_sin(x),
        Unary::Cos => B::float_cos(x),
        Unary::Tan => B::float_tan(x),
        Unary::Sinh => B::float_sinh(x),
        Unary::Cosh => B::float_cosh(x),
        Unary::Tanh => B::float_tanh(x),
        Unary::ArcSin => B::float_asin(x),
        Unary::ArcCos => B::float_acos(x),
        Unary::ArcTan => B::float_atan(x),
        Unary::ArcSinh => B::float_asinh(x),
        Unary::ArcCosh => B::float_acosh(x),
        Unary::ArcTanh => B::float_atanh(x),
        Unary::Round => B::float_round(x),
        Unary::Floor => B::float_floor(x),
        Unary::Ceil => B::float_ceil(x),
        Unary::Trunc => B::float_trunc(x),
        Unary::Relu => B::relu(x),
        Unary::Gelu => B::gelu(x),
        Unary::Sigmoid => B::sigmoid(x),
        Unary::LogSigmoid => B::log_sigmoid(x),
        Unary::IsNan => return bool(B::float_is_nan(x, call.bool_dtype(0)?)),
        Unary::IsInf => return bool(B::float_is_inf(x, call.bool_dtype(0)?)),
        Unary::Not => return Err(call.unsupported("bool or int")),
    })
}

/// Two operands.
pub(super) fn binary<B: Backend>(mut call: Call<B>, function: Binary) -> Results<B> {
    match (call.any()?, call.any()?) {
        (Operand::Float(x), Operand::Float(y)) => match binary_float::<B>(function, x, y) {
            Some(result) => float(result),
            None => Err(wrong_binary(&call, function)),
        },
        (Operand::Float(x), Operand::Int(y)) if function == Binary::Powi => {
            float(B::float_powi(x, y))
        }
        (Operand::Int(x), Operand::Int(y)) => match binary_int::<B>(function, x, y) {
            Some(result) => int(result),
            None => Err(wrong_binary(&call, function)),
        },
        (Operand::Bool(x), Operand::Bool(y)) => match function {
            Binary::And => bool(B::bool_and(x, y)),
            Binary::Or => bool(B::bool_or(x, y)),
            Binary::Xor => bool(B::bool_xor(x, y)),
            _ => Err(wrong_binary(&call, function)),
        },
        _ => Err(wrong_binary(&call, function)),
    }
}

fn wrong_binary<B: Backend>(call: &Call<B>, function: Binary) -> ExecuteError {
    call.unsupported(match function {
        Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Rem => {
            "two float or two int"
        }
        Binary::Powi => "float or int, then int",
        Binary::And | Binary::Or | Binary::Xor => "two int or two bool",
        Binary::ShiftLeft | Binary::ShiftRight => "two int",
        Binary::LeakyRelu => "float, with a literal as slope,",
        Binary::Powf | Binary::ArcTan2 | Binary::Hypot | Binary::PRelu => "two float",
        Binary::ReluBackward
        | Binary::GeluBackward
        | Binary::SigmoidBackward
        | Binary::LogSigmoidBackward => "two float",
    })
}

/// `None` where two float operands are not what the function takes.
fn binary_float<B: Backend>(
    function: Binary,
    x: FloatTensor<B>,
    y: FloatTensor<B>,
) -> Option<FloatTensor<B>> {
    Some(match function {
        Binary::Add => B::float_add(x, y),
        Binary::Sub => B::float_sub(x, y),
        Binary::Mul => B::float_mul(x, y),
        Binary::Div => B::float_div(x, y),
        Binary::Rem => B::float_remainder(x, y),
        Binary::Powf => B::float_powf(x, y),
        Binary::ArcTan2 => B::float_atan2(x, y),
        Binary::Hypot => B::float_hypot(x, y),
        Binary::PRelu => B::prelu(x, y),
        Binary::ReluBackward => B::relu_backward(x, y),
        Binary::GeluBackward => B::gelu_backward(x, y),
        Binary::SigmoidBackward => B::sigmoid_backward(x, y),
        Binary::LogSigmoidBackward => B::log_sigmoid_backward(x, y),
        Binary::Powi | Binary::LeakyRelu => return None,
        Binary::And | Binary::Or | Binary::Xor => return None,
        Binary::ShiftLeft | Binary::ShiftRight => return None,
    })
}

/// `None` where two int operands are not what the function takes.
fn binary_int<B: Backend>(
    function: Binary,
    x: IntTensor<B>,
    y: IntTensor<B>,
) -> Option<IntTensor<B>> {
    Some(match function {
        Binary::Add => B::int_add(x, y),
        Binary::Sub => B::int_sub(x, y),
        Binary::Mul => B::int_mul(x, y),
        Binary::Div => B::int_div(x, y),
        Binary::Rem => B::int_remainder(x, y),
        Binary::Powi => B::int_powi(x, y),
        Binary::And => B::bitwise_and(x, y),
        Binary::Or => B::bitwise_or(x, y),
        Binary::Xor => B::bitwise_xor(x, y),
        Binary::ShiftLeft => B::bitwise_left_shift(x, y),
        Binary::ShiftRight => B::bitwise_right_shift(x, y),
        Binary::Powf | Binary::ArcTan2 | Binary::Hypot => return None,
        Binary::LeakyRelu | Binary::PRelu => return None,
        Binary::ReluBackward
        | Binary::GeluBackward
        | Binary::SigmoidBackward
        | Binary::LogSigmoidBackward => return None,
    })
}

/// An operand and a literal.
pub(super) fn binary_scalar<B: Backend>(
    mut call: Call<B>,
    function: Binary,
    literal: Literal,
) -> Results<B> {
    match call.any()? {
        Operand::Float(x) => match float_scalar::<B>(function, x, literal.into()) {
            Some(result) => float(result),
            None => Err(call.unsupported("another")),
        },
        Operand::Int(x) => match int_scalar::<B>(function, x, literal.into()) {
            Some(result) => int(result),
            None => Err(call.unsupported("another")),
        },
        Operand::Bool(_) => Err(call.unsupported("float or int")),
    }
}

fn float_scalar<B: Backend>(
    function: Binary,
    x: FloatTensor<B>,
    y: Scalar,
) -> Option<FloatTensor<B>> {
    Some(match function {
        Binary::Add => B::float_add_scalar(x, y),
        Binary::Sub => B::float_sub_scalar(x, y),
        Binary::Mul => B::float_mul_scalar(x, y),
        Binary::Div => B::float_div_scalar(x, y),
        Binary::Rem => B::float_remainder_scalar(x, y),
        Binary::Powf => B::float_powf_scalar(x, y),
        Binary::Powi => B::float_powi_scalar(x, y),
        Binary::LeakyRelu => B::leaky_relu(x, y),
        Binary::And | Binary::Or | Binary::Xor => return None,
        Binary::ShiftLeft | Binary::ShiftRight => return None,
        Binary::ArcTan2 | Binary::Hypot | Binary::PRelu => return None,
        Binary::ReluBackward
        | Binary::GeluBackward
        | Binary::SigmoidBackward
        | Binary::LogSigmoidBackward => return None,
    })
}

fn int_scalar<B: Backend>(function: Binary, x: IntTensor<B>, y: Scalar) -> Option<IntTensor<B>> {
    Some(match function {
        Binary::Add => B::int_add_scalar(x, y),
        Binary::Sub => B::int_sub_scalar(x, y),
        Binary::Mul => B::int_mul_scalar(x, y),
        Binary::Div => B::int_div_scalar(x, y),
        Binary::Rem => B::int_remainder_scalar(x, y),
        Binary::Powi => B::int_powi_scalar(x, y),
        Binary::And => B::bitwise_and_scalar(x, y),
        Binary::Or => B::bitwise_or_scalar(x, y),
        Binary::Xor => B::bitwise_xor_scalar(x, y),
        Binary::ShiftLeft => B::bitwise_left_shift_scalar(x, y),
        Binary::ShiftRight => B::bitwise_right_shift_scalar(x, y),
        Binary::Powf | Binary::ArcTan2 | Binary::Hypot => return None,
        Binary::LeakyRelu | Binary::PRelu => return None,
        Binary::ReluBackward
        | Binary::GeluBackward
        | Binary::SigmoidBackward
        | Binary::LogSigmoidBackward => return None,
    })
}

/// Held between bounds.
pub(super) fn clamp<B: Backend>(
    mut call: Call<B>,
    min: Option<Literal>,
    max: Option<Literal>,
) -> Results<B> {
    match (call.any()?, min, max) {
        (x, None, None) => Ok(vec![x]),
        (Operand::Float(x), Some(min), Some(max)) => {
            float(B::float_clamp(x, min.into(), max.into()))
        }
        (Operand::Float(x), Some(min), None) => float(B::float_clamp_min(x, min.into())),
        (Operand::Float(x), None, Some(max)) => float(B::float_clamp_max(x, max.into())),
        (Operand::Int(x), Some(min), Some(max)) => int(B::int_clamp(x, min.into(), max.into())),
        (Operand::Int(x), Some(min), None) => int(B::int_clamp_min(x, min.into())),
        (Operand::Int(x), None, Some(max)) => int(B::int_clamp_max(x, max.into())),
        (Operand::Bool(_), ..) => Err(call.unsupported("float or int")),
    }
}
