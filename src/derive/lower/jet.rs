//! Functions of one element given by value, first and second derivative.

use burn_backend::{Backend, tensor::FloatTensor};

use super::{Detach, detach_once};

/// A function and its first two derivatives at the same points.
pub(super) struct Jet<B: Backend> {
    /// `f(x)`.
    pub value: FloatTensor<B>,
    /// `f′(x)`.
    pub first: FloatTensor<B>,
    /// `f″(x)`.
    pub second: FloatTensor<B>,
}

/// `f(x)` with derivatives taken from the jet of `f`, not from Burn's rules for the operations that compute `f`.
///
/// ```text
/// h = x − x̄,  s = f′(x̄) + h·f″(x̄),  y = f(x̄) + h·s      (x̄: x off the tape, h is zero)
/// ```
///
/// The outer derivative is `s`, whose inner derivative is `f″`; `s` is off the outer tape only. The terms in `h` are
/// zeros, which [`fold`](crate::derive::fold) removes from a recorded program. Where only one tape is left for `x̄`
/// the inner derivatives of `f(x̄)` and `f′(x̄)` are Burn's own, and first derivatives of either must be exact.
pub(super) fn from_jet<B: Backend>(
    x: FloatTensor<B>,
    detach: Detach<B>,
    jet: impl FnOnce(FloatTensor<B>) -> Jet<B>,
) -> FloatTensor<B> {
    let point = detach(x.clone());
    let Jet { value, first, second } = jet(point.clone());
    let offset = B::float_sub(x, point);
    let slope = B::float_add(first, B::float_mul(offset.clone(), second));
    B::float_add(value, B::float_mul(offset, detach_once::<B>(slope)))
}
