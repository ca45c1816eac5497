//! Division, where Burn's rules are inexact or do too much, and powers, where a backend is.

use burn_backend::{Backend, DType, TensorMetadata, tensor::FloatTensor};

use super::{
    Context,
    inputs::Inputs,
    native,
    primitive::{bool_dtype, constant, mul_scalar, scalar},
};
use crate::{
    error::Error,
    graph::{Binary, Op},
    tensor::Operand,
};

/// Division by a literal, whose rule goes through an f32 reciprocal, and by a broadcast divisor, whose rule divides
/// at the size of the quotient.
pub(super) fn divide<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let quotient = match op {
        Op::BinaryScalar(_, divisor) => {
            divide_by_literal(inputs.float()?, divisor.as_f64(), context)
        }
        _ if divisor_is_smaller(inputs.peek(), context) => {
            let (x, y) = (inputs.float()?, inputs.float()?);
            B::float_mul(x, B::float_recip(y))
        }
        _ => return native(op, inputs, context),
    };
    Ok(vec![Operand::Float(quotient)])
}

fn divisor_is_smaller<B: Backend>(operands: &[Operand<B>], context: &Context<'_, B>) -> bool {
    match (operands.get(1), context.outputs.first()) {
        (Some(divisor), Some(quotient)) => {
            divisor.shape().num_elements() < quotient.shape.num_elements()
        }
        _ => false,
    }
}

/// By the reciprocal in double precision; by a tensor of one element where the reciprocal leaves the range of the
/// element type.
fn divide_by_literal<B: Backend>(
    x: FloatTensor<B>,
    divisor: f64,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let (dtype, rank) = (x.dtype(), x.shape().num_dims());
    let reciprocal = 1.0 / divisor;
    let in_range = dtype.finfo().is_some_and(|info| {
        let size = reciprocal.abs();
        size >= info.min_positive && size <= info.max
    });
    if in_range {
        return mul_scalar::<B>(x, reciprocal);
    }
    B::float_div(x, constant::<B>(vec![divisor], &vec![1; rank], dtype, context.device))
}

/// A power by a tensor, defined at zeros; a power by a literal that f32 does not have exactly.
pub(super) fn power<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let exponent = match op {
        Op::BinaryScalar(_, exponent) => exponent.as_f64(),
        _ => {
            let x = inputs.float()?;
            let exponents = match op {
                Op::Binary(Binary::Powi) => B::int_into_float(inputs.int()?, x.dtype().into()),
                _ => inputs.float()?,
            };
            return Ok(vec![Operand::Float(power_by_tensor(x, exponents, context))]);
        }
    };
    let double = inputs.peek().first().map(Operand::dtype) == Some(DType::F64);
    if !double || f64::from(exponent as f32) == exponent {
        return native(op, inputs, context);
    }
    let x = inputs.float()?;
    let shape = vec![1; x.shape().num_dims()];
    let exponent = constant::<B>(vec![exponent], &shape, DType::F64, context.device);
    Ok(vec![Operand::Float(B::float_powf(x, exponent))])
}

/// `xᵉ` element by element. At x = 0 Burn's rule multiplies zero by infinity: e·xᵉ⁻¹ for e = 0, and e·(e − 1)·xᵉ⁻² for
/// e = 0 and e = 1. There x⁰ = 1 and x¹ = x say it without a power.
///
/// At x = 0 and e = 1 the derivatives by e are those of 0ᵉ = 0, and the mixed one, which is −∞, is taken as 0 too.
fn power_by_tensor<B: Backend>(
    x: FloatTensor<B>,
    exponents: FloatTensor<B>,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let shape = context.outputs.first().map_or_else(|| x.shape(), |output| output.shape.clone());
    let (x, exponents) = (B::float_expand(x, shape.clone()), B::float_expand(exponents, shape));
    let bool = bool_dtype::<B>(context.device);
    let (point, powers) = ((context.detach)(x.clone()), (context.detach)(exponents.clone()));
    let zero = B::float_equal_elem(point, scalar(0.0), bool);
    let is =
        |power| B::bool_and(zero.clone(), B::float_equal_elem(powers.clone(), scalar(power), bool));
    let (zeroth, first) = (is(0.0), is(1.0));
    let safe = B::float_mask_fill(x.clone(), B::bool_or(zeroth, first.clone()), scalar(1.0));
    B::float_mask_where(B::float_powf(safe, exponents), first, x)
}
