//! Several tensors of one shape as one with a leading axis, and back.

use burn_backend::{Backend, Slice, TensorMetadata, tensor::FloatTensor};

use super::host;

/// Tensors of one shape `[…]` as one of shape `[k, …]`, by one copy. There must be one at least.
pub(crate) fn stacked<B: Backend>(parts: Vec<FloatTensor<B>>) -> FloatTensor<B> {
    if let Some(stack) = host::stacked::<B>(&parts) {
        return stack;
    }
    let with_axis = parts.into_iter().map(|part| {
        let own = part.shape();
        let shape = [1].into_iter().chain(own.iter().copied());
        B::float_reshape(part, shape.collect::<Vec<_>>().into())
    });
    B::float_cat(with_axis.collect(), 0)
}

/// The entries of a tensor along its first dimension.
///
/// Where memory can be accessed each gets its own, so that it can be worked on in place; otherwise they are views of the
/// whole.
pub(crate) fn unstacked<B: Backend>(stack: FloatTensor<B>) -> Vec<FloatTensor<B>> {
    if let Some(parts) = host::unstacked::<B>(&stack) {
        return parts;
    }
    let shape = stack.shape().to_vec();
    let (count, own) = shape.split_first().map_or((1, &[][..]), |(&count, own)| (count, own));
    let part = |index: usize| {
        let part = B::float_slice(stack.clone(), &[Slice::from(index..index + 1)]);
        B::float_reshape(part, own.to_vec().into())
    };
    (0..count).map(part).collect()
}
