//! Softmax and its relatives, shifted by a maximum that is off the tape.

use burn_backend::{Backend, tensor::FloatTensor};

use super::{Context, inputs::Inputs};
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
    let max = B::float_max_dim((context.detach)(x.clone()), dim);
    let shifted = B::float_sub(x, max);
    let y = match kind {
        Softmax::LogSoftmax => {
            let sum = B::float_sum_dim(B::float_exp(shifted.clone()), dim);
            B::float_sub(shifted, B::float_log(sum))
        }
        Softmax::Softmax | Softmax::Softmin => {
            let exp = B::float_exp(shifted);
            let sum = B::float_sum_dim(exp.clone(), dim);
            normalized::<B>(exp, sum)
        }
    };
    Ok(vec![Operand::Float(y)])
}

/// `exp / sum`, dividing only what is small.
pub(super) fn normalized<B: Backend>(exp: FloatTensor<B>, sum: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(exp, B::float_recip(sum))
}
