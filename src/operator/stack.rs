//! Several vectors as the rows of one matrix on the device, and numbers on their way there. Knows vectors only.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, Slice, TensorData, ops::FloatTensorOps};

use crate::{
    error::Error,
    space::{Inner, InnerFloat, ParamLayout, ParamVector},
    tensor::Precision,
};

/// One vector per row, shape `[vectors, numbers]`. All must be like the first.
pub(crate) fn stack<B: AutodiffBackend>(vectors: &[ParamVector<B>]) -> InnerFloat<B> {
    let rows = vectors.iter().map(|vector| {
        let shape = [1, vector.len()].into();
        Inner::<B>::float_reshape(vector.flat_tensor(), shape)
    });
    let mut rows: Vec<_> = rows.collect();
    match rows.len() {
        1 => rows.remove(0),
        _ => Inner::<B>::float_cat(rows, 0),
    }
}

/// The first `count` rows of a matrix of shape `[rows, numbers]` as vectors.
pub(crate) fn unstack<B: AutodiffBackend>(
    layout: &Arc<ParamLayout>,
    rows: InnerFloat<B>,
    count: usize,
) -> Result<Vec<ParamVector<B>>, Error> {
    let n = layout.len();
    (0..count)
        .map(|row| {
            let range = [Slice::from(row..row + 1), Slice::from(0..n)];
            let row = Inner::<B>::float_slice(rows.clone(), &range);
            let flat = Inner::<B>::float_reshape(row, [n].into());
            Ok(ParamVector::from_flat_tensor(layout, flat)?)
        })
        .collect()
}

/// An array on the device of a vector, in its precision.
pub(crate) fn upload<B: AutodiffBackend, const D: usize>(
    values: &[f64],
    shape: [usize; D],
    like: &ParamVector<B>,
) -> InnerFloat<B> {
    let data = match like.precision() {
        Precision::F64 => TensorData::new(values.to_vec(), shape),
        Precision::F32 => {
            let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            TensorData::new(values, shape)
        }
    };
    Inner::<B>::float_from_data(data, like.device())
}

/// The transpose of a matrix.
pub(crate) fn transpose<B: AutodiffBackend>(matrix: InnerFloat<B>) -> InnerFloat<B> {
    Inner::<B>::float_swap_dims(matrix, 0, 1)
}
