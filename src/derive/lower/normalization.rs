//! Batch norm with given statistics, and layer norm. Group, instance and RMS norm are recorded as compositions.

use burn_backend::{Backend, TensorMetadata, tensor::FloatTensor};

use super::{
    Context,
    inputs::Inputs,
    primitive::{add_scalar, reshape},
    rows::Rows,
};
use crate::{error::Error, graph::Op, tensor::Operand};

/// Both norms multiply by the reciprocal of the deviation, which is small, in place of dividing what is large.
pub(super) fn normalize<B: Backend>(
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let y = match op {
        Op::LayerNorm { epsilon, beta } => {
            let (x, gamma) = (inputs.float()?, inputs.float()?);
            let beta = inputs.float_if(*beta)?;
            let normal = if context.folds {
                (context.of_rows)(Rows::Normal { epsilon: *epsilon }, x)
            } else {
                normal::<B>(x, *epsilon)
            };
            scaled::<B>(normal, gamma, beta)
        }
        Op::BatchNorm { epsilon } => batch_norm::<B>(inputs, *epsilon)?,
        _ => return Err(inputs.refuse("this is no norm with a lowering")),
    };
    Ok(vec![Operand::Float(y)])
}

/// `(x − mean)·γ/√(variance + ε) + β`, one of each per channel.
fn batch_norm<B: Backend>(mut inputs: Inputs<B>, epsilon: f64) -> Result<FloatTensor<B>, Error> {
    let x = inputs.float()?;
    let mut shape = vec![1; x.shape().num_dims()];
    shape[1] = x.shape()[1];
    let mut per_channel = || inputs.float().map(|tensor| reshape::<B>(tensor, &shape));
    let (gamma, beta) = (per_channel()?, per_channel()?);
    let (mean, variance) = (per_channel()?, per_channel()?);
    let scale = B::float_mul(gamma, reciprocal_deviation::<B>(variance, epsilon));
    let scaled = B::float_mul(B::float_sub(x, mean), scale);
    Ok(B::float_add(scaled, beta))
}

/// `(x − mean)/√(variance + ε)` over the last dimension.
fn normal<B: Backend>(x: FloatTensor<B>, epsilon: f64) -> FloatTensor<B> {
    let (centered, reciprocal) = centered::<B>(x, epsilon);
    B::float_mul(centered, reciprocal)
}

/// `x − mean` and `1/√(variance + ε)` over the last dimension.
pub(super) fn centered<B: Backend>(
    x: FloatTensor<B>,
    epsilon: f64,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let last = x.shape().num_dims() - 1;
    let mean = B::float_mean_dim(x.clone(), last);
    let centered = B::float_sub(x, mean);
    let variance = B::float_mean_dim(B::float_mul(centered.clone(), centered.clone()), last);
    (centered, reciprocal_deviation::<B>(variance, epsilon))
}

/// `γ·x + β` with one of each along the last dimension.
fn scaled<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let last = x.shape().num_dims() - 1;
    let mut shape = vec![1; last + 1];
    shape[last] = x.shape()[last];
    let scaled = B::float_mul(x, reshape::<B>(gamma, &shape));
    match beta {
        Some(beta) => B::float_add(scaled, reshape::<B>(beta, &shape)),
        None => scaled,
    }
}

fn reciprocal_deviation<B: Backend>(variance: FloatTensor<B>, epsilon: f64) -> FloatTensor<B> {
    B::float_recip(B::float_sqrt(add_scalar::<B>(variance, epsilon)))
}
