//! The diagonal of the Fisher matrix in given bases of every layer.

use burn_backend::ops::FloatTensorOps;
use burn_capture::CaptureBackend as B;

use super::{Passes, Tensor, record::ProgramInputs, rows};
use crate::{derive::required, error::Error, tensor::reshape};

type Rows = rows::Rows<B>;

/// Σ over samples and cotangents of (Uᵀ ∇ W)∘(Uᵀ ∇ W) for every group of every layer, `[groups, d_in, d_out]`; ∇ is a
/// sample's gradient of the layer's matrix.
///
/// Further inputs are orthogonal bases as columns, layer by layer: `[groups, d_in, d_in]`, a one for the bias included
/// (none for an embedding whose places are not reduced: its basis is its rows), and `[groups, d_out, d_out]`.
pub(super) fn diagonals(
    inputs: &mut ProgramInputs<'_>,
    passes: &Passes<'_>,
) -> Result<Vec<Tensor>, Error> {
    let mut rotated = Vec::new();
    for (group, xs) in passes.layers() {
        let mut matrix = |size| inputs.float(&[group.kind.groups(), size, size]);
        let is_matrix = !passes.kind.has_diagonal(group);
        let left = is_matrix.then(|| matrix(group.d_in())).transpose()?;
        let right = matrix(group.d_out())?;
        rotated.push((passes.rows(group, xs, true)?.rotated(left.as_ref()), right));
    }
    let mut diagonals: Vec<Option<Tensor>> = vec![None; rotated.len()];
    passes.back(|layers, _| {
        for ((rows, (xs, right)), sum) in layers.into_iter().zip(&rotated).zip(&mut diagonals) {
            let terms = squared_gradients(xs, &rows.rotated(Some(right)));
            *sum = sum.take().into_iter().chain(terms).reduce(B::float_add);
        }
    })?;
    Ok(diagonals.into_iter().map(required).collect::<Result<_, _>>()?)
}

/// Terms of Σ over cotangents and samples of (Σ over places a gᵀ)², `[groups, d_in, d_out]`.
fn squared_gradients(a: &Rows, g: &Rows) -> Vec<Tensor> {
    let [samples, places, groups, d_in] = a.sizes();
    let (cotangents, d_out) = (g.sizes()[0] / samples.max(1), g.width());
    let square = |tensor: Tensor| B::float_mul(tensor.clone(), tensor);
    if places == 1 {
        let squares = reshape::<B>(square(g.by_group()), &[groups, cotangents, samples * d_out]);
        let sums = reshape::<B>(B::float_sum_dim(squares, 1), &[groups, samples, d_out]);
        return vec![B::float_matmul(B::float_swap_dims(square(a.by_group()), 1, 2), sums)];
    }
    let of_cotangent = |cotangent: usize| {
        let own = g.narrowed(cotangent * samples..(cotangent + 1) * samples);
        let squares = B::float_sum_dim(square(a.products(&own)), 0);
        reshape::<B>(squares, &[groups, d_in, d_out])
    };
    (0..cotangents).map(of_cotangent).collect()
}
