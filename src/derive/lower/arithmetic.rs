//! Division, where Burn's rules are inexact or do too much, and powers, where a backend is.

use burn_backend::{Backend, DType, TensorMetadata, tensor::FloatTensor};

use super::{
    Site,
    inputs::Inputs,
    native,
    primitive::{constant, mul_scalar},
};
use crate::{execute::ExecuteError, graph::Op, tensor::Operand};

/// Division by a literal, whose rule goes through an f32 reciprocal, and by a broadcast divisor, whose rule divides
/// at the size of the quotient.
pub(super) fn divide<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    site: &Site<'_, B>,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    let quotient = match op {
        Op::BinaryScalar(_, divisor) => divide_by_literal(inputs.float()?, divisor.as_f64(), site),
        _ if divisor_is_smaller(inputs.peek(), site) => {
            let (x, y) = (inputs.float()?, inputs.float()?);
            B::float_mul(x, B::float_recip(y))
        }
        _ => return native(op, inputs, site),
    };
    Ok(vec![Operand::Float(quotient)])
}

fn divisor_is_smaller<B: Backend>(operands: &[Operand<B>], site: &Site<'_, B>) -> bool {
    match (operands.get(1), site.outputs.first()) {
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
    site: &Site<'_, B>,
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
    B::float_div(x, constant::<B>(vec![divisor], &vec![1; rank], dtype, site.device))
}

/// A power by a literal that f32 does not have exactly: by a tensor of one element, since NdArray rounds the literal.
pub(super) fn power<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    site: &Site<'_, B>,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    let exponent = match op {
        Op::BinaryScalar(_, exponent) => exponent.as_f64(),
        _ => return native(op, inputs, site),
    };
    let double = inputs.peek().first().map(Operand::dtype) == Some(DType::F64);
    if !double || f64::from(exponent as f32) == exponent {
        return native(op, inputs, site);
    }
    let x = inputs.float()?;
    let shape = vec![1; x.shape().num_dims()];
    let exponent = constant::<B>(vec![exponent], &shape, DType::F64, site.device);
    Ok(vec![Operand::Float(B::float_powf(x, exponent))])
}
