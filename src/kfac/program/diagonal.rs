//! The diagonal of the Fisher matrix in given bases of every layer.

use burn_autodiff::Autodiff;
use burn_backend::{Backend, Shape, TensorMetadata, tensor::FloatTensor};

use super::{FactorKind, Given, Passes, Probed, inputs, rows::Rows};
use crate::{
    derive::{Apply, required},
    error::Error,
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
    let mut passes = Passes::forward(probed, given, apply)?;
    let mut rotated = Vec::with_capacity(bases.len());
    let inputs = std::mem::take(&mut passes.inputs);
    for ((group, basis), xs) in probed.layers.iter().zip(bases).zip(inputs) {
        let types = (given.device, basis.right.dtype().into());
        let inputs = inputs::rows(kind, (probed, group), xs, (true, types))?;
        rotated.push((inputs.rotated(basis.left.as_ref()), &basis.right));
    }
    let mut diagonals: Vec<Option<FloatTensor<B>>> = vec![None; bases.len()];
    passes.back(kind, |layers, _| {
        for ((rows, (inputs, right)), sum) in layers.into_iter().zip(&rotated).zip(&mut diagonals) {
            let squares = squared_gradients(inputs, &rows.rotated(Some(*right)));
            *sum = Some(match sum.take() {
                Some(sum) => B::float_add(sum, squares),
                None => squares,
            });
        }
    })?;
    Ok(diagonals.into_iter().map(required).collect::<Result<_, _>>()?)
}

/// Σ over samples of (Σ over places a gᵀ)², `[groups, d_in, d_out]`.
fn squared_gradients<B: Backend>(a: &Rows<B>, g: &Rows<B>) -> FloatTensor<B> {
    let [_, places, groups, d_in] = a.sizes();
    if places == 1 {
        let square = |rows: &Rows<B>| {
            let rows = rows.by_group();
            B::float_mul(rows.clone(), rows)
        };
        return B::float_matmul(B::float_swap_dims(square(a), 1, 2), square(g));
    }
    let gradients = a.products(g);
    let sum = B::float_sum_dim(B::float_mul(gradients.clone(), gradients), 0);
    B::float_reshape(sum, Shape::from(vec![groups, d_in, g.width()]))
}
