//! Softmax, its logarithm and the norm of layers in recorded programs: functions of rows whose derivative is a short
//! formula in their result.
//!
//! Burn's rules differentiate the exponentials, sums and roots that compute these functions one by one, and then each of
//! those steps again: a Hessian product has to go through all of them. By their formulas it has about half as many
//! operations,
//!
//! ```text
//! p = softmax(x)          x̄ = u − p·Σu         u = p·ȳ
//! y = log p               x̄ = ȳ − p·Σȳ
//! n = r·(x − mean(x))     x̄ = w − mean(w) − n·mean(n·w)    w = r·n̄    r = 1/√(variance + ε)
//! ```
//!
//! On two tapes the outer one follows the formula, in operations on the inner one. There `p`, `n` and `r` are their values
//! with the terms of first order in `h = x − x°`, which is zero (`x°`: x off the tape); [`fold`](crate::derive::fold)
//! removes these terms where they are not differentiated.

use burn_autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind, unary},
};
use burn_backend::{AutodiffBackend, Backend, TensorMetadata, tensor::FloatTensor};

use super::{
    detach::detach_once, normalization::centered, primitive::mul_scalar, softmax::by_definition,
};
use crate::graph::Softmax;

/// A function of the rows along one dimension.
#[derive(Clone, Copy, Debug)]
pub(in crate::derive) enum Rows {
    Softmax(usize),
    LogSoftmax(usize),
    /// `(x − mean)/√(variance + ε)` along the last dimension.
    Normal {
        epsilon: f64,
    },
}

/// Applies a function of rows.
pub(in crate::derive) type OfRows<B> = fn(Rows, FloatTensor<B>) -> FloatTensor<B>;

/// On one tape or none.
pub(super) fn of_rows<B: Backend>(rows: Rows, x: FloatTensor<B>) -> FloatTensor<B> {
    linearized::<B>(rows, x).0
}

/// On two tapes.
pub(super) fn of_rows_twice<A: AutodiffBackend>(
    rows: Rows,
    x: FloatTensor<Autodiff<A>>,
) -> FloatTensor<Autodiff<A>> {
    let (x, node) = x.into_parts();
    let (y, pullback) = linearized::<A>(rows, x);
    match ByFormula.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(pullback, y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

/// What the cotangent of `x` is computed from.
#[derive(Clone, Debug)]
enum Pullback<B: Backend> {
    Softmax { p: FloatTensor<B>, dim: usize },
    LogSoftmax { p: FloatTensor<B>, dim: usize },
    Normal { n: FloatTensor<B>, r: FloatTensor<B> },
}

#[derive(Debug)]
struct ByFormula;

impl<B: Backend> Backward<B, 1> for ByFormula {
    type State = Pullback<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let pullback = ops.state;
        unary::<B, _>(ops.parents, ops.node, gradients, |g| pullback.of(g));
    }
}

impl<B: Backend> Pullback<B> {
    fn of(self, g: FloatTensor<B>) -> FloatTensor<B> {
        match self {
            Pullback::Softmax { p, dim } => {
                let u = B::float_mul(p.clone(), g);
                let sum = B::float_neg(B::float_sum_dim(u.clone(), dim));
                B::float_add(u, B::float_mul(p, sum))
            }
            Pullback::LogSoftmax { p, dim } => {
                let sum = B::float_neg(B::float_sum_dim(g.clone(), dim));
                B::float_add(g, B::float_mul(p, sum))
            }
            Pullback::Normal { n, r } => {
                let w = B::float_mul(r, g);
                let along = minus_mean::<B>(B::float_mul(n.clone(), w.clone()));
                let centered = B::float_add(w.clone(), minus_mean::<B>(w));
                B::float_add(centered, B::float_mul(n, along))
            }
        }
    }
}

/// The function at `x`, and what its derivative is computed from, each with its own derivative by the same formula.
fn linearized<B: Backend>(rows: Rows, x: FloatTensor<B>) -> (FloatTensor<B>, Pullback<B>) {
    let point = detach_once::<B>(x.clone());
    let offset = B::float_sub(x, point.clone());
    match rows {
        Rows::Softmax(dim) => {
            let value = by_definition::<B>(Softmax::Softmax, dim, point, detach_once::<B>);
            let p = moved::<B>(value.clone(), relative_change::<B>(value, offset, dim));
            (p.clone(), Pullback::Softmax { p, dim })
        }
        Rows::LogSoftmax(dim) => {
            let value = by_definition::<B>(Softmax::LogSoftmax, dim, point, detach_once::<B>);
            let p = B::float_exp(value.clone());
            let change = relative_change::<B>(p.clone(), offset, dim);
            let y = B::float_add(value, change.clone());
            (y, Pullback::LogSoftmax { p: moved::<B>(p, change), dim })
        }
        Rows::Normal { epsilon } => normal::<B>(point, offset, epsilon),
    }
}

/// `h − Σ p·h`: by what part of itself each element of a softmax changes.
fn relative_change<B: Backend>(
    p: FloatTensor<B>,
    offset: FloatTensor<B>,
    dim: usize,
) -> FloatTensor<B> {
    let mean = B::float_sum_dim(B::float_mul(p, offset.clone()), dim);
    B::float_add(offset, B::float_neg(mean))
}

/// `value + value·change`
fn moved<B: Backend>(value: FloatTensor<B>, change: FloatTensor<B>) -> FloatTensor<B> {
    B::float_add(value.clone(), B::float_mul(value, change))
}

/// `n + r·(h − mean(h) − n·mean(n·h))` and `r − r²·mean(n·h)`.
fn normal<B: Backend>(
    point: FloatTensor<B>,
    offset: FloatTensor<B>,
    epsilon: f64,
) -> (FloatTensor<B>, Pullback<B>) {
    let (centered, r) = centered::<B>(point, epsilon);
    let n = B::float_mul(centered, r.clone());
    let along = minus_mean::<B>(B::float_mul(n.clone(), offset.clone()));
    let across = B::float_add(offset.clone(), minus_mean::<B>(offset));
    let change = B::float_add(across, B::float_mul(n.clone(), along.clone()));
    let n = B::float_add(n, B::float_mul(r.clone(), change));
    let square = B::float_mul(r.clone(), r.clone());
    let r = B::float_add(r, B::float_mul(square, along));
    (n.clone(), Pullback::Normal { n, r })
}

/// `−mean(x)` along the last dimension.
fn minus_mean<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let last = x.shape().num_dims() - 1;
    let size = x.shape()[last] as f64;
    mul_scalar::<B>(B::float_sum_dim(x, last), -size.recip())
}
