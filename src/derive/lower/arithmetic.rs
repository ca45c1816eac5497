//! Division, where Burn's rules are inexact or do too much, powers, where a backend is, and cross products.

use burn_backend::{Backend, DType, TensorMetadata, tensor::FloatTensor};

use super::{
    Context,
    detach::with_value,
    inputs::Inputs,
    native,
    piecewise::expand,
    primitive::{bool_dtype, constant, mul_scalar, scalar},
};
use crate::{
    error::Error,
    graph::{Binary, Op},
    tensor::Operand,
};

/// By a literal, where Burn's rule goes through an f32 reciprocal; otherwise a product with a
/// [reciprocal](super::reciprocal), at the size of the divisor. The value is that of the division: what is rounded down or
/// compared with a quotient must find the same number here as in the loss.
pub(super) fn divide<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let x = inputs.float()?;
    let point = (context.detach)(x.clone());
    let (quotient, product) = match op {
        Op::BinaryScalar(_, divisor) if context.folds => (
            B::float_div_scalar(point, (*divisor).into()),
            multiply_by_reciprocal(x, divisor.as_f64(), context),
        ),
        Op::BinaryScalar(_, divisor) => (
            // A tape may be left, on which the rule of a division by a tensor is exact.
            divide_by_constant(point, divisor.as_f64(), context),
            multiply_by_reciprocal(x, divisor.as_f64(), context),
        ),
        _ => {
            let y = inputs.float()?;
            (
                B::float_div(point, (context.detach)(y.clone())),
                B::float_mul(x, (context.reciprocal)(y)),
            )
        }
    };
    Ok(vec![Operand::Float(with_value(quotient, product, context))])
}

/// By the reciprocal in double precision; by a tensor of one element where the reciprocal leaves the range of the
/// element type.
fn multiply_by_reciprocal<B: Backend>(
    x: FloatTensor<B>,
    divisor: f64,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let reciprocal = 1.0 / divisor;
    let in_range = x.dtype().finfo().is_some_and(|info| {
        let size = reciprocal.abs();
        size >= info.min_positive && size <= info.max
    });
    if in_range {
        return mul_scalar::<B>(x, reciprocal);
    }
    divide_by_constant(x, divisor, context)
}

fn divide_by_constant<B: Backend>(
    x: FloatTensor<B>,
    divisor: f64,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let (dtype, rank) = (x.dtype(), x.shape().num_dims());
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

/// Of operands in the shape of the result: Burn's rule does not sum over what was broadcast.
pub(super) fn cross<B: Backend>(
    dim: usize,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let (x, y) = (inputs.float()?, inputs.float()?);
    let Some(output) = context.outputs.first() else {
        return Err(inputs.refuse("its output has no shape"));
    };
    let [x, y] = [x, y].map(|operand| expand::<B>(operand, &output.shape));
    Ok(vec![Operand::Float(B::float_cross(x, y, dim))])
}
