//! Piecewise linear operations: rectifiers, bounds and masks.
//!
//! Where zeros are folded, each is its value off the tape plus a zero difference times its slope: the derivative is one
//! product with a mask of zeros and ones, an order of magnitude faster than the masked fill of Burn's rules on a CPU.

use burn_backend::{
    Backend, Scalar, Shape, TensorMetadata,
    tensor::{BoolTensor, FloatTensor},
};

use super::{
    Context,
    inputs::Inputs,
    native,
    primitive::{bool_dtype, scalar},
};
use crate::{
    error::Error,
    graph::{Binary, Literal, Op, Unary},
    tensor::Operand,
};

/// ReLU and its relatives, clamps and masks.
pub(super) fn piecewise<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let y = match op {
        Op::MaskFill(_) | Op::MaskWhere => masked(op, inputs, context)?,
        Op::BinaryScalar(Binary::LeakyRelu, slope) => {
            leaky(inputs.float()?, (*slope).into(), context)
        }
        Op::HardSigmoid { alpha, beta } => {
            let line = B::float_mul_scalar(inputs.float()?, (*alpha).into());
            let line = B::float_add_scalar(line, (*beta).into());
            between(line, Some(Literal::Float(0.0)), Some(Literal::Float(1.0)), context)
        }
        Op::Clamp { min, max } => between(inputs.float()?, *min, *max, context),
        Op::Unary(Unary::Relu) if context.folds => {
            let x = inputs.float()?;
            let point = (context.detach)(x.clone());
            let slope = numbers::<B>(is_positive(point.clone(), context), &x);
            with_slope::<B>(B::relu(point.clone()), x, point, slope)
        }
        Op::Binary(Binary::ReluBackward) => {
            let (output, grad) = (inputs.float()?, inputs.float()?);
            let slope = numbers::<B>(is_positive(output, context), &grad);
            B::float_mul(grad, slope)
        }
        _ => return native(op, inputs, context),
    };
    Ok(vec![Operand::Float(y)])
}

/// `value + (x − x̄)·slope`, where the difference is zero.
fn with_slope<B: Backend>(
    value: FloatTensor<B>,
    x: FloatTensor<B>,
    point: FloatTensor<B>,
    slope: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_add(value, B::float_mul(B::float_sub(x, point), slope))
}

fn is_positive<B: Backend>(x: FloatTensor<B>, context: &Context<'_, B>) -> BoolTensor<B> {
    B::float_greater_elem(x, scalar(0.0), bool_dtype::<B>(context.device))
}

/// One where the mask is true and zero elsewhere.
fn numbers<B: Backend>(mask: BoolTensor<B>, like: &FloatTensor<B>) -> FloatTensor<B> {
    B::bool_into_float(mask, like.dtype().into())
}

/// A product with one where `x` is not negative and `slope` where it is.
fn leaky<B: Backend>(x: FloatTensor<B>, slope: Scalar, context: &Context<'_, B>) -> FloatTensor<B> {
    let negative = B::float_lower_elem(x.clone(), scalar(0.0), bool_dtype::<B>(context.device));
    let ones = B::float_ones(x.shape(), context.device, x.dtype().into());
    B::float_mul(x, B::float_mask_fill(ones, negative, slope))
}

/// `x` held between bounds; on a bound the slope is one, as in Burn.
fn between<B: Backend>(
    x: FloatTensor<B>,
    min: Option<Literal>,
    max: Option<Literal>,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let clamp = |x| match (min, max) {
        (Some(min), Some(max)) => B::float_clamp(x, min.into(), max.into()),
        (Some(min), None) => B::float_clamp_min(x, min.into()),
        (None, Some(max)) => B::float_clamp_max(x, max.into()),
        (None, None) => x,
    };
    if !context.folds {
        return clamp(x);
    }
    let dtype = bool_dtype::<B>(context.device);
    let point = (context.detach)(x.clone());
    let below = min.map(|min| B::float_lower_elem(point.clone(), min.into(), dtype));
    let above = max.map(|max| B::float_greater_elem(point.clone(), max.into(), dtype));
    let outside = match (below, above) {
        (Some(below), Some(above)) => B::bool_or(below, above),
        (Some(side), None) | (None, Some(side)) => side,
        (None, None) => return x,
    };
    let slope = numbers::<B>(B::bool_not(outside), &x);
    with_slope::<B>(clamp(point.clone()), x, point, slope)
}

/// Mask fill and mask where, every operand expanded to the output first: Burn's rules for them do not sum back.
fn masked<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<FloatTensor<B>, Error> {
    let Some(output) = context.outputs.first() else {
        return Err(inputs.refuse("its output has no shape"));
    };
    let x = expand::<B>(inputs.float()?, &output.shape);
    let mask = inputs.bool()?;
    let mask = if mask.shape() == output.shape {
        mask
    } else {
        B::bool_expand(mask, output.shape.clone())
    };
    Ok(match op {
        Op::MaskFill(value) => fill(x, mask, (*value).into(), context),
        _ => choose(x, mask, expand::<B>(inputs.float()?, &output.shape), context),
    })
}

/// Broadcast to a shape.
pub(super) fn expand<B: Backend>(x: FloatTensor<B>, shape: &Shape) -> FloatTensor<B> {
    if x.shape() == *shape { x } else { B::float_expand(x, shape.clone()) }
}

/// `x`, and the literal where the mask is true.
pub(super) fn fill<B: Backend>(
    x: FloatTensor<B>,
    mask: BoolTensor<B>,
    value: Scalar,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    if !context.folds {
        return B::float_mask_fill(x, mask, value);
    }
    let point = (context.detach)(x.clone());
    let slope = numbers::<B>(B::bool_not(mask.clone()), &x);
    with_slope::<B>(B::float_mask_fill(point.clone(), mask, value), x, point, slope)
}

/// `x`, and `y` where the mask is true.
fn choose<B: Backend>(
    x: FloatTensor<B>,
    mask: BoolTensor<B>,
    y: FloatTensor<B>,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    if !context.folds {
        return B::float_mask_where(x, mask, y);
    }
    let points = [(context.detach)(x.clone()), (context.detach)(y.clone())];
    let [x_point, y_point] = points.clone();
    let (kept, taken) =
        (numbers::<B>(B::bool_not(mask.clone()), &x), numbers::<B>(mask.clone(), &y));
    let value = B::float_mask_where(x_point, mask, y_point);
    let [x_point, y_point] = points;
    let value = with_slope::<B>(value, x, x_point, kept);
    with_slope::<B>(value, y, y_point, taken)
}
