//! Smooth activations by their jets.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use burn_backend::{Backend, DType, TensorMetadata, tensor::FloatTensor};

use super::{
    Context,
    inputs::Inputs,
    jet::{Jet, from_jet},
    primitive::{add_scalar, bool_dtype, mul_scalar, scalar},
};
use crate::{error::Error, graph::Smooth, tensor::Operand};

/// `1/√(2π)`.
const NORMAL_PEAK: f64 = 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;

/// Erf, GELU, tanh, sigmoid and log-sigmoid.
pub(super) fn smooth<B: Backend>(
    function: Smooth,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let x = inputs.float()?;
    let jet = match function {
        Smooth::Tanh => return Ok(vec![Operand::Float(hyperbolic_tangent(x, context))]),
        Smooth::Erf => erf,
        Smooth::Gelu => gelu,
        Smooth::LogSigmoid => log_sigmoid,
        Smooth::Sigmoid if x.dtype() == DType::F64 => sigmoid,
        Smooth::Sigmoid => native_sigmoid,
    };
    Ok(vec![Operand::Float(from_jet::<B>(x, context.detach, jet))])
}

fn erf<B: Backend>(x: FloatTensor<B>) -> Jet<B> {
    let square = B::float_mul(x.clone(), x.clone());
    let first = mul_scalar::<B>(B::float_exp(B::float_neg(square)), FRAC_2_SQRT_PI);
    let second = mul_scalar::<B>(B::float_mul(x.clone(), first.clone()), -2.0);
    Jet { value: B::float_erf(x), first, second }
}

/// `φ(x)` and `Φ(x)` of the standard normal distribution.
fn normal<B: Backend>(x: FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
    let half_square = mul_scalar::<B>(B::float_mul(x.clone(), x.clone()), -0.5);
    let density = mul_scalar::<B>(B::float_exp(half_square), NORMAL_PEAK);
    let erf = B::float_erf(mul_scalar::<B>(x, FRAC_1_SQRT_2));
    (density, mul_scalar::<B>(add_scalar::<B>(erf, 1.0), 0.5))
}

/// `f = x·Φ`, `f′ = Φ + x·φ`, `f″ = (2 − x²)·φ`.
fn gelu<B: Backend>(x: FloatTensor<B>) -> Jet<B> {
    let (density, distribution) = normal::<B>(x.clone());
    let moment = B::float_mul(x.clone(), density.clone());
    Jet {
        value: B::float_mul(x.clone(), distribution.clone()),
        first: B::float_add(distribution, moment.clone()),
        second: B::float_sub(mul_scalar::<B>(density, 2.0), B::float_mul(x, moment)),
    }
}

/// The derivative of GELU with its own derivatives: `f′`, `f″` and `f‴ = (x² − 4)·x·φ`.
fn gelu_slope<B: Backend>(x: FloatTensor<B>) -> Jet<B> {
    let Jet { first, second, .. } = gelu::<B>(x.clone());
    let (density, _) = normal::<B>(x.clone());
    // x·φ first: the square of a large x is infinite, and φ zero.
    let moment = B::float_mul(x.clone(), density);
    let cube = B::float_mul(B::float_mul(moment.clone(), x.clone()), x);
    let third = B::float_sub(cube, mul_scalar::<B>(moment, 4.0));
    Jet { value: first, first: second, second: third }
}

/// `gelu_backward(x, grad)` by the exact derivative, not by the tanh approximation of Burn's default.
pub(super) fn gelu_backward<B: Backend>(
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let (x, grad) = (inputs.float()?, inputs.float()?);
    let slope = from_jet::<B>(x, context.detach, gelu_slope);
    Ok(vec![Operand::Float(B::float_mul(slope, grad))])
}

/// Burn's rule for tanh is exact; its jet is shorter where zeros are folded.
pub(super) fn hyperbolic_tangent<B: Backend>(
    x: FloatTensor<B>,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    if context.folds { from_jet::<B>(x, context.detach, tanh) } else { B::float_tanh(x) }
}

/// `f′ = 1 − f²`, `f″ = −2·f·f′`.
fn tanh<B: Backend>(x: FloatTensor<B>) -> Jet<B> {
    let value = B::float_tanh(x);
    let square = B::float_mul(value.clone(), value.clone());
    let first = add_scalar::<B>(B::float_neg(square), 1.0);
    let second = mul_scalar::<B>(B::float_mul(value.clone(), first.clone()), -2.0);
    Jet { value, first, second }
}

/// The backend's sigmoid, which some backends compute in f32: `f′ = f·(1 − f)`, `f″ = f′·(1 − 2f)`.
fn native_sigmoid<B: Backend>(x: FloatTensor<B>) -> Jet<B> {
    let value = B::sigmoid(x);
    let square = B::float_mul(value.clone(), value.clone());
    let first = B::float_sub(value.clone(), square);
    let second = B::float_mul(first.clone(), one_minus_twice::<B>(value.clone()));
    Jet { value, first, second }
}

fn one_minus_twice<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    add_scalar::<B>(mul_scalar::<B>(x, -2.0), 1.0)
}

/// `e = exp(−|x|)` and quotients of it: never overflows, exact in both tails.
struct Tail<B: Backend> {
    positive: burn_backend::tensor::BoolTensor<B>,
    /// `e`.
    decay: FloatTensor<B>,
    /// `1/(1 + e)`.
    near: FloatTensor<B>,
    /// `e/(1 + e)`.
    far: FloatTensor<B>,
}

impl<B: Backend> Tail<B> {
    /// `−|x|` is chosen per element rather than by `abs`, whose derivative at zero is neither side's.
    fn new(x: FloatTensor<B>) -> Self {
        let dtype = bool_dtype::<B>(&x.device());
        let positive = B::float_greater_elem(x.clone(), scalar(0.0), dtype);
        let decay = B::float_exp(B::float_mask_where(x.clone(), positive.clone(), B::float_neg(x)));
        let near = B::float_recip(add_scalar::<B>(decay.clone(), 1.0));
        let far = B::float_mul(decay.clone(), near.clone());
        Self { positive, decay, near, far }
    }
}

/// `f′ = e/(1 + e)²`, `f″ = f′·(1 − 2f)`.
fn sigmoid<B: Backend>(x: FloatTensor<B>) -> Jet<B> {
    let Tail { positive, near, far, .. } = Tail::<B>::new(x);
    let first = B::float_mul(far.clone(), near.clone());
    let value = B::float_mask_where(far, positive, near);
    let second = B::float_mul(first.clone(), one_minus_twice::<B>(value.clone()));
    Jet { value, first, second }
}

/// `f = min(x, 0) − ln(1 + e)`, `f′ = σ(−x)`, `f″ = −e/(1 + e)²`.
fn log_sigmoid<B: Backend>(x: FloatTensor<B>) -> Jet<B> {
    let Tail { positive, decay, near, far } = Tail::<B>::new(x.clone());
    let below = B::float_mask_fill(x, positive.clone(), scalar(0.0));
    Jet {
        value: B::float_sub(below, B::float_log1p(decay)),
        first: B::float_mask_where(near.clone(), positive, far.clone()),
        second: B::float_neg(B::float_mul(far, near)),
    }
}
