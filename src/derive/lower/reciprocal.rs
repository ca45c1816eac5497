//! Reciprocals, whose second derivative needs no power beyond the third.
//!
//! Burn's rule for r = 1/x is −1/x², whose own rule divides by x⁴. In f32 that overflows for x beyond 4·10⁹ and for a
//! square beyond 10⁵ under the reciprocal, where r and its derivatives are still far from the ends of the range: the
//! second derivative came out as zero. In terms of r the derivative is −r², and the second one 2r³.

use burn_autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind, unary},
};
use burn_backend::{Backend, tensor::FloatTensor};

/// `1/x`.
pub(super) type Reciprocal<B> = fn(FloatTensor<B>) -> FloatTensor<B>;

/// As the backend has it: differentiated once, Burn's rule is as good as any.
pub(super) fn reciprocal<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_recip(x)
}

/// On a tape, with a derivative in terms of the reciprocal itself.
pub(super) fn reciprocal_on_tape<B: Backend>(
    x: FloatTensor<Autodiff<B>>,
) -> FloatTensor<Autodiff<B>> {
    let (x, of_x) = x.into_parts();
    let reciprocal = B::float_recip(x);
    match InItself.prepare::<NoCheckpointing>([of_x]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(reciprocal.clone(), reciprocal),
        OpsKind::UnTracked(prep) => prep.finish(reciprocal),
    }
}

#[derive(Debug)]
struct InItself;

impl<B: Backend> Backward<B, 1> for InItself {
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let reciprocal = ops.state;
        unary::<B, _>(ops.parents, ops.node, gradients, |g| {
            let square = B::float_mul(reciprocal.clone(), reciprocal);
            B::float_mul(g, B::float_neg(square))
        });
    }
}
