//! Softmax and its relatives, shifted by a maximum that is off the tape.

use burn_backend::{Backend, tensor::FloatTensor};

use super::{Context, Detach, inputs::Inputs, rows::Rows};
use crate::{error::Error, graph::Softmax, tensor::Operand};

/// The shift changes no value, so neither tape needs to see it.
pub(super) fn softmax<B: Backend>(
    kind: Softmax,
    dim: usize,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let x = inputs.float()?;
    let x = if kind == Softmax::Softmin { B::float_neg(x) } else { x };
    let rows = match kind {
        Softmax::LogSoftmax => Rows::LogSoftmax(dim),
        Softmax::Softmax | Softmax::Softmin => Rows::Softmax(dim),
    };
    let y = if context.folds {
        (context.of_rows)(rows, x)
    } else {
        by_definition::<B>(kind, dim, x, context.detach)
    };
    Ok(vec![Operand::Float(y)])
}

/// By operations that a tape differentiates one by one. A softmin is the softmax of `x` here.
pub(super) fn by_definition<B: Backend>(
    kind: Softmax,
    dim: usize,
    x: FloatTensor<B>,
    detach: Detach<B>,
) -> FloatTensor<B> {
    let max = B::float_max_dim(detach(x.clone()), dim);
    let shifted = B::float_sub(x, max);
    match kind {
        Softmax::LogSoftmax => {
            let sum = B::float_sum_dim(B::float_exp(shifted.clone()), dim);
            B::float_sub(shifted, B::float_log(sum))
        }
        Softmax::Softmax | Softmax::Softmin => {
            let exp = B::float_exp(shifted);
            let sum = B::float_sum_dim(exp.clone(), dim);
            normalized::<B>(exp, sum)
        }
    }
}

/// `exp / sum`, dividing only what is small.
pub(super) fn normalized<B: Backend>(exp: FloatTensor<B>, sum: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(exp, B::float_recip(sum))
}
