//! The inputs of layers and their second moments. Knows nothing of gradients.

use burn_backend::{
    Backend, FloatDType, Shape, TensorMetadata,
    tensor::{FloatTensor, IndexingUpdateOp, IntTensor},
};

use super::{FactorKind, Given, LayerGroup, rows::Rows};
use crate::{
    derive::{layers::LayerKind, outputs::required},
    execute::{ExecuteError, Operand},
};

/// Embeddings are never reduced: the mean of one-hot inputs has no diagonal second moment.
pub(super) fn reduces(kind: FactorKind, group: &LayerGroup) -> bool {
    kind.reduce && group.first.kind != LayerKind::Embedding
}

/// The mean of ā āᵀ over all uses of a weight, with a one behind every a where there is a bias; for an embedding, its
/// diagonal.
pub(super) fn moment<B: Backend>(
    kind: FactorKind,
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
    given: &Given<'_, B>,
) -> Result<FloatTensor<B>, ExecuteError> {
    if group.first.kind == LayerKind::Embedding {
        return frequencies(group, inputs, given);
    }
    let rows = rows(kind, group, inputs)?;
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
    Ok(match reduces(kind, group) {
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
    let dtype: FloatDType = match given.parameters.first() {
        Some(parameter) => parameter.dtype().into(),
        None => FloatDType::F32,
    };
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
    Ok(B::float_mul_scalar(
        counts,
        (total.max(1) as f64).recip().into(),
    ))
}

pub(super) fn flat_indices<B: Backend>(indices: Operand<B>) -> Result<IntTensor<B>, ExecuteError> {
    let indices = indices.into_int()?;
    let total = indices.shape().num_elements();
    Ok(B::int_reshape(indices, Shape::from(vec![total])))
}
