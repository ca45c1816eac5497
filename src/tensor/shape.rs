//! Shapes of a backend's tensors.

use burn_backend::{Backend, Shape, TensorMetadata, tensor::FloatTensor};

/// A tensor in another shape.
pub(crate) fn reshape<B: Backend>(tensor: FloatTensor<B>, shape: &[usize]) -> FloatTensor<B> {
    if tensor.shape().as_slice() == shape {
        return tensor;
    }
    B::float_reshape(tensor, Shape::from(shape.to_vec()))
}
