//! Shapes of a backend's tensors.

use burn_backend::{Backend, Shape, TensorMetadata, tensor::FloatTensor};

#[cfg(feature = "flex")]
use super::flex::held;

/// Whether a tensor has a shape, which Flex says without a copy of its own.
pub(crate) fn has_shape<T: TensorMetadata + 'static>(tensor: &T, shape: &[usize]) -> bool {
    #[cfg(feature = "flex")]
    if let Some(tensor) = held(tensor) {
        return tensor.layout().shape()[..] == *shape;
    }
    tensor.shape()[..] == *shape
}

/// A tensor in another shape.
pub(crate) fn reshape<B: Backend>(tensor: FloatTensor<B>, shape: &[usize]) -> FloatTensor<B> {
    if tensor.shape().as_slice() == shape {
        return tensor;
    }
    B::float_reshape(tensor, Shape::from(shape.to_vec()))
}
