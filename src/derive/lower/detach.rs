//! Ways for a tensor to leave the tape, and for a value to take the derivatives of another.

use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend, tensor::FloatTensor};

use super::{Context, primitive::bool_dtype};

/// Takes a tensor off the tape of a backend, at least off the outermost one.
///
/// A lowering's derivatives are exact whether one tape is left or all of them; leaving all keeps what is constant to
/// both derivatives off the inner tape, and the recorded program shorter.
pub(super) type Detach<B> = fn(FloatTensor<B>) -> FloatTensor<B>;

/// Off the outermost tape of any backend; the identity if there is no tape.
pub(super) fn detach_once<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    B::float_set_require_grad(tensor, false)
}

/// Off both tapes of `Autodiff<A>`, where `A` is an autodiff backend itself.
pub(super) fn detach_twice<A: AutodiffBackend>(
    tensor: FloatTensor<Autodiff<A>>,
) -> FloatTensor<Autodiff<A>> {
    let inner = Autodiff::<A>::inner(tensor);
    Autodiff::<A>::from_inner(A::from_inner(A::inner(inner)))
}

/// `value`, off the tape, with the derivatives of a tensor that differs from it by rounding.
pub(super) fn with_value<B: Backend>(
    value: FloatTensor<B>,
    tensor: FloatTensor<B>,
    context: &Context<'_, B>,
) -> FloatTensor<B> {
    let point = (context.detach)(tensor.clone());
    let offset = B::float_sub(tensor.clone(), point.clone());
    let exact = B::float_add(value.clone(), offset);
    if context.folds {
        return exact;
    }
    // The offset is undefined at infinities, where both are the same.
    let same = B::float_equal(value, point, bool_dtype::<B>(context.device));
    B::float_mask_where(exact, same, tensor)
}
