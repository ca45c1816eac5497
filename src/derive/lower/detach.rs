//! Ways for a tensor to leave the tape.

use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend, tensor::FloatTensor};

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
