//! The arithmetic of one block of elements, in f32 and f64.
//!
//! In f32 the four operations are Flex's own vector kernels, on a block instead of a whole tensor, so that results equal
//! its results bit for bit; so do other functions but those of [`functions`].

use std::ops::{AddAssign, DivAssign};

use burn_backend::Element;
use burn_flex::{FlexTensor, ops::unary, simd};
use faer::traits::pulp::{Arch, Simd};

use super::{chain::Function, functions};

/// A float type whose tensors can be accessed.
pub(super) trait Number:
    Element + Copy + Default + Send + Sync + AddAssign + DivAssign
{
    /// All of a tensor's memory. The element type must be the tensor's.
    fn memory(tensor: &FlexTensor) -> &[Self];

    /// All of a tensor's memory, if no clone of it is alive.
    fn memory_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]>;

    /// The closest number.
    fn of(number: f64) -> Self;

    /// `y ← y ∘ x` for one of the four operations or a comparison.
    fn combine(function: Function, y: &mut [Self], x: &[Self]);

    /// `y ← x ∘ y`.
    fn combine_reversed(function: Function, y: &mut [Self], x: &[Self]);

    /// `y ← f(y)`.
    fn map(function: Function, y: &mut [Self]);

    /// `y ← y + x` for a few elements, whatever is left over beside full registers at once.
    fn add_few<S: Simd>(simd: S, y: &mut [Self], x: &[Self]);
}

impl Number for f32 {
    fn memory(tensor: &FlexTensor) -> &[Self] {
        tensor.storage()
    }

    fn memory_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]> {
        tensor.try_storage_mut()
    }

    fn of(number: f64) -> Self {
        number as f32
    }

    fn combine(function: Function, y: &mut [Self], x: &[Self]) {
        match function {
            Function::Add => simd::add_inplace_f32(y, x),
            Function::Sub => simd::sub_inplace_f32(y, x),
            Function::Mul => simd::mul_inplace_f32(y, x),
            Function::Div => simd::div_inplace_f32(y, x),
            Function::Greater => pairs(y, x, |y, x| f32::from(u8::from(y > x))),
            _ => {}
        }
    }

    fn combine_reversed(function: Function, y: &mut [Self], x: &[Self]) {
        match function {
            Function::Sub => simd::rsub_inplace_f32(y, x),
            Function::Div => simd::rdiv_inplace_f32(y, x),
            Function::Greater => pairs(y, x, |y, x| f32::from(u8::from(x > y))),
            _ => Self::combine(function, y, x),
        }
    }

    fn map(function: Function, y: &mut [Self]) {
        match function {
            Function::Abs => simd::abs_inplace_f32(y),
            Function::Recip => simd::recip_inplace_f32(y),
            Function::Erf => functions::erf(y),
            Function::Exp => functions::exp(y),
            Function::Log => each(y, f32::ln),
            Function::Log1p => each(y, f32::ln_1p),
            Function::Sqrt => each(y, f32::sqrt),
            Function::Tanh => functions::tanh(y),
            Function::Sin => each(y, f32::sin),
            Function::Cos => each(y, f32::cos),
            Function::Relu => each(y, |x: f32| if x.is_nan() || x > 0.0 { x } else { 0.0 }),
            Function::Neg => each(y, |x: f32| -x),
            Function::Add | Function::Sub | Function::Mul | Function::Div | Function::Greater => {}
        }
    }

    #[inline(always)]
    fn add_few<S: Simd>(simd: S, y: &mut [Self], x: &[Self]) {
        let (y, y_rest) = S::as_mut_simd_f32s(y);
        let (x, x_rest) = S::as_simd_f32s(x);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = simd.add_f32s(*y, x);
        }
        let rest = simd.add_f32s(simd.partial_load_f32s(y_rest), simd.partial_load_f32s(x_rest));
        simd.partial_store_f32s(y_rest, rest);
    }
}

impl Number for f64 {
    fn memory(tensor: &FlexTensor) -> &[Self] {
        tensor.storage()
    }

    fn memory_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]> {
        tensor.try_storage_mut()
    }

    fn of(number: f64) -> Self {
        number
    }

    fn combine(function: Function, y: &mut [Self], x: &[Self]) {
        match function {
            Function::Add => pairs(y, x, |y, x| y + x),
            Function::Sub => pairs(y, x, |y, x| y - x),
            Function::Mul => pairs(y, x, |y, x| y * x),
            Function::Div => pairs(y, x, |y, x| y / x),
            Function::Greater => pairs(y, x, |y, x| f64::from(u8::from(y > x))),
            _ => {}
        }
    }

    fn combine_reversed(function: Function, y: &mut [Self], x: &[Self]) {
        match function {
            Function::Sub => pairs(y, x, |y, x| x - y),
            Function::Div => pairs(y, x, |y, x| x / y),
            Function::Greater => pairs(y, x, |y, x| f64::from(u8::from(x > y))),
            _ => Self::combine(function, y, x),
        }
    }

    fn map(function: Function, y: &mut [Self]) {
        match function {
            Function::Abs => each(y, f64::abs),
            Function::Recip => each(y, |x: f64| 1.0 / x),
            Function::Erf => each(y, unary::erf_f64),
            Function::Exp => each(y, f64::exp),
            Function::Log => each(y, f64::ln),
            Function::Log1p => each(y, f64::ln_1p),
            Function::Sqrt => each(y, f64::sqrt),
            Function::Tanh => each(y, f64::tanh),
            Function::Sin => each(y, f64::sin),
            Function::Cos => each(y, f64::cos),
            Function::Relu => each(y, |x: f64| if x.is_nan() || x > 0.0 { x } else { 0.0 }),
            Function::Neg => each(y, |x: f64| -x),
            Function::Add | Function::Sub | Function::Mul | Function::Div | Function::Greater => {}
        }
    }

    #[inline(always)]
    fn add_few<S: Simd>(simd: S, y: &mut [Self], x: &[Self]) {
        let (y, y_rest) = S::as_mut_simd_f64s(y);
        let (x, x_rest) = S::as_simd_f64s(x);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = simd.add_f64s(*y, x);
        }
        let rest = simd.add_f64s(simd.partial_load_f64s(y_rest), simd.partial_load_f64s(x_rest));
        simd.partial_store_f64s(y_rest, rest);
    }
}

fn each<N: Copy>(y: &mut [N], function: impl Fn(N) -> N) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for y in y {
                *y = function(*y);
            }
        },
    );
}

fn pairs<N: Copy>(y: &mut [N], x: &[N], function: impl Fn(N, N) -> N) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = function(*y, x);
            }
        },
    );
}

/// Writes one number everywhere, by copies that grow.
pub(super) fn fill<N: Copy>(y: &mut [N], number: N) {
    const FIRST: usize = 8;
    let first = y.len().min(FIRST);
    for y in &mut y[..first] {
        *y = number;
    }
    repeat(y, first);
}

/// Writes the first elements again and again, by copies that grow.
pub(super) fn repeat<N: Copy>(y: &mut [N], first: usize) {
    let mut filled = first;
    while filled < y.len() {
        let more = filled.min(y.len() - filled);
        y.copy_within(..more, filled);
        filled += more;
    }
}
