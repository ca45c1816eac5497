//! The diagonal of the Fisher matrix in given bases of every layer.

use burn_backend::{Shape, ops::FloatTensorOps};
use burn_capture::CaptureBackend as B;

use super::{FactorKind, Passes, Probed, ProgramInputs, Tensor, inputs, rows};
use crate::{derive::required, error::Error};

type Rows = rows::Rows<B>;

/// Orthogonal bases of one layer, as columns: `[groups, d_in, d_in]`, a one for the bias included (none for an
/// embedding whose places are not reduced: its basis is its rows), and `[groups, d_out, d_out]`.
pub(super) type Bases = (Option<Tensor>, Tensor);

/// Σ over samples and cotangents of (Uᵀ ∇ W)∘(Uᵀ ∇ W) for every group, `[groups, d_in, d_out]`; ∇ is a sample's gradient
/// of the layer's matrix.
pub(super) fn diagonals(
    kind: FactorKind,
    probed: &Probed,
    given: &ProgramInputs<'_>,
    bases: &[Bases],
) -> Result<Vec<Tensor>, Error> {
    let mut passes = Passes::forward(probed, given)?;
    let mut rotated = Vec::with_capacity(bases.len());
    let inputs = std::mem::take(&mut passes.inputs);
    for ((group, (left, right)), xs) in probed.layers.iter().zip(bases).zip(inputs) {
        let inputs = inputs::rows(kind, (probed, group), xs, true)?;
        rotated.push((inputs.rotated(left.as_ref()), right));
    }
    let mut diagonals: Vec<Option<Tensor>> = vec![None; bases.len()];
    passes.back(kind, |layers, _| {
        for ((rows, (inputs, right)), sum) in layers.into_iter().zip(&rotated).zip(&mut diagonals) {
            let terms = squared_gradients(inputs, &rows.rotated(Some(right)));
            *sum = sum.take().into_iter().chain(terms).reduce(B::float_add);
        }
    })?;
    Ok(diagonals.into_iter().map(required).collect::<Result<_, _>>()?)
}

/// Terms of Σ over cotangents and samples of (Σ over places a gᵀ)², `[groups, d_in, d_out]`.
fn squared_gradients(a: &Rows, g: &Rows) -> Vec<Tensor> {
    let [samples, places, groups, d_in] = a.sizes();
    let cotangents = g.sizes()[0] / samples.max(1);
    let square = |tensor: Tensor| B::float_mul(tensor.clone(), tensor);
    if places == 1 {
        let dims = vec![groups, cotangents, samples * g.width()];
        let squares = B::float_reshape(square(g.by_group()), Shape::from(dims));
        let dims = vec![groups, samples, g.width()];
        let sums = B::float_reshape(B::float_sum_dim(squares, 1), Shape::from(dims));
        return vec![B::float_matmul(B::float_swap_dims(square(a.by_group()), 1, 2), sums)];
    }
    let of_cotangent = |cotangent: usize| {
        let own = g.narrowed(cotangent * samples..(cotangent + 1) * samples);
        let squares = B::float_sum_dim(square(a.products(&own)), 0);
        B::float_reshape(squares, Shape::from(vec![groups, d_in, g.width()]))
    };
    (0..cotangents).map(of_cotangent).collect()
}
