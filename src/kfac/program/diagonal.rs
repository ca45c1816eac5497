//! The diagonal of the Fisher matrix in given bases of every layer.

use burn_autodiff::Autodiff;
use burn_backend::{
    Backend, FloatDType, Shape, TensorMetadata,
    tensor::{Device, FloatTensor, IndexingUpdateOp},
};

use super::{
    FactorKind, Given, Probed, gather,
    inputs::{self, flat_indices},
    rows::Rows,
};
use crate::{
    derive::{Apply, required},
    error::Error,
    execute::ExecuteError,
    kfac::layers::{LayerGroup, LayerKind},
    tensor::Operand,
};

/// Orthogonal bases of one layer, as columns: `[groups, d_in, d_in]`, a one for the bias included (none for an
/// embedding whose places are not reduced: its basis is its rows), and `[groups, d_out, d_out]`.
pub(super) struct Basis<B: Backend> {
    pub left: Option<FloatTensor<B>>,
    pub right: FloatTensor<B>,
}

/// Σ over samples and cotangents of (Uᵀ ∇ W)∘(Uᵀ ∇ W) for every group, `[groups, d_in, d_out]`; ∇ is a sample's gradient
/// of the layer's matrix.
pub(super) fn compute_diagonals<B: Backend>(
    kind: FactorKind,
    probed: &Probed,
    given: &Given<'_, B>,
    bases: &[Basis<B>],
    apply: Apply<Autodiff<B>>,
) -> Result<Vec<FloatTensor<B>>, Error> {
    let mut forward = gather::forward(probed, given, apply)?;
    let mut rotated = Vec::with_capacity(bases.len());
    let inputs = std::mem::take(&mut forward.inputs);
    for ((group, inputs), basis) in probed.groups.iter().zip(inputs).zip(bases) {
        let inputs = match group.first.kind {
            LayerKind::Embedding if kind.reduces(group) => {
                let dtype = basis.right.dtype().into();
                inputs::mean_one_hot(group, inputs, given.device, dtype)?
            }
            LayerKind::Embedding => one_hot_rows(group, inputs, given.device, &basis.right)?,
            _ => {
                let rows = inputs::rows(kind, group, inputs)?;
                match group.first.bias {
                    Some(_) => rows.with_ones(),
                    None => rows,
                }
            }
        };
        rotated.push((inputs.rotated(basis.left.as_ref()), &basis.right));
    }
    let mut diagonals: Vec<Option<FloatTensor<B>>> = vec![None; bases.len()];
    gather::backward(kind, probed, given, &mut forward, apply, |group, rows| {
        if let (Some((inputs, right)), Some(sum)) = (rotated.get(group), diagonals.get_mut(group)) {
            let squares = squared_gradients(inputs, &rows.rotated(Some(right)));
            *sum = Some(match sum.take() {
                Some(sum) => B::float_add(sum, squares),
                None => squares,
            });
        }
    })?;
    Ok(diagonals.into_iter().map(required).collect::<Result<_, _>>()?)
}

/// The rows of an embedding's inputs, written out.
fn one_hot_rows<B: Backend>(
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
    device: &Device<B>,
    like: &FloatTensor<B>,
) -> Result<Rows<B>, ExecuteError> {
    let dtype: FloatDType = like.dtype().into();
    let width = group.weight[0];
    let uses = inputs.into_iter().map(|indices| {
        let samples = indices.shape().iter().next().copied().unwrap_or(1);
        let flat = flat_indices::<B>(indices)?;
        let total = flat.shape().num_elements();
        let shape = |columns: usize| Shape::from(vec![total, columns]);
        let zeros = B::float_zeros(shape(width), device, dtype);
        let ones = B::float_ones(shape(1), device, dtype);
        let indices = B::int_reshape(flat, shape(1));
        let one_hot = B::float_scatter(1, zeros, indices, ones, IndexingUpdateOp::Add);
        let dims = vec![samples, total / samples.max(1), 1, width];
        Ok(Rows::Rows(B::float_reshape(one_hot, Shape::from(dims))))
    });
    required(Rows::joined(uses.collect::<Result<_, ExecuteError>>()?))
}

/// Σ over samples of (Σ over places a gᵀ)², `[groups, d_in, d_out]`.
fn squared_gradients<B: Backend>(a: &Rows<B>, g: &Rows<B>) -> FloatTensor<B> {
    let [samples, places, groups, d_in] = a.sizes();
    let d_out = g.width();
    if places == 1 {
        let square = |rows: &Rows<B>| {
            let rows = rows.by_group();
            B::float_mul(rows.clone(), rows)
        };
        return B::float_matmul(B::float_swap_dims(square(a), 1, 2), square(g));
    }
    // [samples, places, groups, d] → [groups · samples, places, d]
    let by_sample = |rows: &Rows<B>, width: usize| {
        let permuted = B::float_permute(rows.rows(), &[2, 0, 1, 3]);
        B::float_reshape(permuted, Shape::from(vec![groups * samples, places, width]))
    };
    let left = B::float_swap_dims(by_sample(a, d_in), 1, 2);
    let gradients = B::float_matmul(left, by_sample(g, d_out));
    let squares = B::float_mul(gradients.clone(), gradients);
    let dims = vec![groups, samples, d_in, d_out];
    let sum = B::float_sum_dim(B::float_reshape(squares, Shape::from(dims)), 1);
    B::float_reshape(sum, Shape::from(vec![groups, d_in, d_out]))
}
