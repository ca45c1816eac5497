//! Several vectors as the rows of one matrix on the device, and uploads.

use burn_backend::{AutodiffBackend, Slice, TensorData, ops::FloatTensorOps};

use crate::{
    error::Error,
    space::{Inner, InnerFloat, ParamSpace, ParamVector},
    tensor::Precision,
};

/// One vector per row, shape `[vectors, elements]`. All must be of one space.
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

/// The first `count` rows of a matrix of shape `[rows, elements]` as vectors.
pub(crate) fn unstack<B: AutodiffBackend>(
    space: &ParamSpace<B>,
    rows: InnerFloat<B>,
    count: usize,
) -> Result<Vec<ParamVector<B>>, Error> {
    let n = space.len();
    (0..count)
        .map(|row| {
            let range = [Slice::from(row..row + 1), Slice::from(0..n)];
            let row = Inner::<B>::float_slice(rows.clone(), &range);
            let flat = Inner::<B>::float_reshape(row, [n].into());
            Ok(space.from_flat_tensor(flat)?)
        })
        .collect()
}

/// An array on the device of a space, in its precision.
pub(crate) fn upload<B: AutodiffBackend, const D: usize>(
    values: &[f64],
    shape: [usize; D],
    space: &ParamSpace<B>,
) -> InnerFloat<B> {
    let data = match space.precision() {
        Precision::F64 => TensorData::new(values.to_vec(), shape),
        Precision::F32 => {
            let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            TensorData::new(values, shape)
        }
    };
    Inner::<B>::float_from_data(data, space.device())
}

/// The transpose of a matrix.
pub(crate) fn transpose<B: AutodiffBackend>(matrix: InnerFloat<B>) -> InnerFloat<B> {
    Inner::<B>::float_swap_dims(matrix, 0, 1)
}
