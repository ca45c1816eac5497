//! What is propagated back from the outputs: a square root of their curvature, column by column, or draws.

use burn_backend::{Backend, Shape, Slice, TensorMetadata, tensor::FloatTensor};

use crate::{
    derive::{Metric, required},
    execute::ExecuteError,
};

/// The cotangents one after another, times the square root of `scale`; `None` if the loss itself is propagated back.
pub(super) fn cotangents<B: Backend>(
    metric: Metric,
    z: &FloatTensor<B>,
    noise: Option<FloatTensor<B>>,
    scale: Option<FloatTensor<B>>,
) -> Result<Option<Vec<FloatTensor<B>>>, ExecuteError> {
    let all: Vec<_> = match metric {
        Metric::Empirical => return Ok(None),
        Metric::Exact(family) => family.columns::<B>(z),
        Metric::Drawn { family, draws } => {
            let directions = family.directions::<B>(draws, z.clone(), required(noise)?);
            let one = |draw: usize| {
                let slices = [Slice::from(draw..draw + 1)];
                let slice = B::float_slice(directions.clone(), &slices);
                B::float_reshape(slice, z.shape())
            };
            (0..draws).map(one).collect()
        }
    };
    let Some(scale) = scale else {
        return Ok(Some(all));
    };
    let ones = Shape::from(vec![1; z.shape().num_dims()]);
    let root = B::float_reshape(B::float_sqrt(scale), ones);
    let scaled = |cotangent| B::float_mul(cotangent, root.clone());
    Ok(Some(all.into_iter().map(scaled).collect()))
}
