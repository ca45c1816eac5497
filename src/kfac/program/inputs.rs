//! The inputs of layers and their second moments. Knows nothing of gradients.

use burn_backend::{
    Backend, FloatDType, Shape, TensorMetadata,
    tensor::{Device, FloatTensor, IndexingUpdateOp, IntTensor},
};

use super::{FactorKind, Given, rows::Rows};
use crate::{
    derive::required,
    execute::ExecuteError,
    kfac::layers::{LayerGroup, LayerKind},
    tensor::Operand,
};

/// The mean of ā āᵀ over all uses of a weight, with a one behind every a where there is a bias; for an embedding whose
/// places are not reduced, its diagonal.
pub(super) fn moment<B: Backend>(
    kind: FactorKind,
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
    given: &Given<'_, B>,
) -> Result<FloatTensor<B>, ExecuteError> {
    if kind.has_diagonal(group) {
        return frequencies(group, inputs, given);
    }
    let rows = match group.first.kind {
        LayerKind::Embedding => mean_one_hot(group, inputs, given.device, float_type(given))?,
        _ => rows(kind, group, inputs)?,
    };
    Ok(match group.first.bias {
        Some(_) => rows.mean_with_ones(),
        None => rows.second_moment((rows.count().max(1) as f64).recip()),
    })
}

/// The inputs of all uses of a weight that is multiplied.
pub(super) fn rows<B: Backend>(
    kind: FactorKind,
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
) -> Result<Rows<B>, ExecuteError> {
    let rows = inputs.into_iter().map(|x| {
        let x = x.into_float()?;
        Ok(Rows::of_input(&group.first.kind, x, &group.weight))
    });
    let rows = required(Rows::joined(rows.collect::<Result<_, ExecuteError>>()?))?;
    Ok(match kind.reduces(group) {
        true => rows.over_places(true),
        false => rows,
    })
}

/// How often each row of an embedding is used, of all uses.
fn frequencies<B: Backend>(
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
    given: &Given<'_, B>,
) -> Result<FloatTensor<B>, ExecuteError> {
    let dtype = float_type(given);
    let shape = |size: usize| Shape::from(vec![size]);
    let mut total = 0;
    let mut counts = B::float_zeros(shape(group.weight[0]), given.device, dtype);
    for indices in inputs {
        let flat = flat_indices::<B>(indices)?;
        let uses = flat.shape().num_elements();
        total += uses;
        let ones = B::float_ones(shape(uses), given.device, dtype);
        counts = B::float_select_assign(counts, 0, flat, ones, IndexingUpdateOp::Add);
    }
    Ok(B::float_mul_scalar(counts, (total.max(1) as f64).recip().into()))
}

/// The one-hot inputs of an embedding, averaged over the places of each sample: how often each row is used, of all uses.
pub(super) fn mean_one_hot<B: Backend>(
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
    device: &Device<B>,
    dtype: FloatDType,
) -> Result<Rows<B>, ExecuteError> {
    let width = group.weight[0];
    let (mut sum, mut total): (Option<FloatTensor<B>>, usize) = (None, 0);
    for indices in inputs {
        let samples = indices.shape().iter().next().copied().unwrap_or(1);
        let flat = flat_indices::<B>(indices)?;
        let places = flat.shape().num_elements() / samples.max(1);
        total += places;
        let shape = |columns: usize| Shape::from(vec![samples, columns]);
        let ones = B::float_ones(shape(places), device, dtype);
        let counts = match sum.take() {
            Some(sum) => sum,
            None => B::float_zeros(shape(width), device, dtype),
        };
        let indices = B::int_reshape(flat, shape(places));
        let add = IndexingUpdateOp::Add;
        sum = Some(B::float_scatter(1, counts, indices, ones, add));
    }
    let counts = required(sum)?;
    let mean = B::float_mul_scalar(counts, (total.max(1) as f64).recip().into());
    let samples = mean.shape()[0];
    let dims = Shape::from(vec![samples, 1, 1, width]);
    Ok(Rows::Rows(B::float_reshape(mean, dims)))
}

/// The element type of the parameters.
fn float_type<B: Backend>(given: &Given<'_, B>) -> FloatDType {
    let first = given.parameters.first();
    first.map_or(FloatDType::F32, |parameter| parameter.dtype().into())
}

pub(super) fn flat_indices<B: Backend>(indices: Operand<B>) -> Result<IntTensor<B>, ExecuteError> {
    let indices = indices.into_int()?;
    let total = indices.shape().num_elements();
    Ok(B::int_reshape(indices, Shape::from(vec![total])))
}
