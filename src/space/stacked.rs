//! Several tensors of one shape as one with one more dimension, the axis, and back.

use burn_backend::{Backend, Slice, TensorMetadata, tensor::FloatTensor};

use super::host;

/// Tensors of one shape as one with an axis at a place, by one copy. There must be one at least.
pub(crate) fn stacked<B: Backend>(parts: &[&FloatTensor<B>], axis: usize) -> FloatTensor<B> {
    if let Some(stack) = host::stacked::<B>(parts, axis) {
        return stack;
    }
    let with_axis = parts.iter().map(|&part| {
        let mut shape = part.shape().to_vec();
        shape.insert(axis, 1);
        B::float_reshape(part.clone(), shape.into())
    });
    B::float_cat(with_axis.collect(), axis)
}

/// The entries of a tensor along its axis.
///
/// Where memory can be accessed each gets its own, so that it can be worked on in place; otherwise they are views of the
/// whole.
pub(crate) fn unstacked<B: Backend>(stack: FloatTensor<B>, axis: usize) -> Vec<FloatTensor<B>> {
    if let Some(parts) = host::unstacked::<B>(&stack, axis) {
        return parts;
    }
    let mut own = stack.shape().to_vec();
    let count = own.remove(axis);
    let part = |index: usize| {
        let mut slices = vec![Slice::full(); axis];
        slices.push(Slice::from(index..index + 1));
        let part = B::float_slice(stack.clone(), &slices);
        B::float_reshape(part, own.clone().into())
    };
    (0..count).map(part).collect()
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn_backend::{Backend, TensorData, tensor::FloatTensor};

    use super::{stacked, unstacked};

    fn round_trip<B: Backend>() {
        let device = Default::default();
        let part = |vector: usize| {
            let elements: Vec<f32> = (0..12).map(|at| (100 * vector + at) as f32).collect();
            B::float_from_data(TensorData::new(elements, [3, 2, 2]), &device)
        };
        let data = |tensor: FloatTensor<B>| -> Vec<f32> {
            let read = burn_backend::read_sync(B::float_into_data(tensor));
            read.expect("data").iter::<f32>().collect()
        };
        let parts: Vec<FloatTensor<B>> = (0..4).map(part).collect();
        for axis in 0..=3 {
            let stack = stacked::<B>(&parts.iter().collect::<Vec<_>>(), axis);
            let all = data(stack.clone());
            let inner: usize = [3, 2, 2].iter().skip(axis).product();
            assert_eq!(
                all[inner], 100.0,
                "the second vector follows {inner} elements of the first"
            );
            let found = unstacked::<B>(stack, axis);
            assert_eq!(found.len(), 4);
            for (found, part) in found.into_iter().zip(&parts) {
                assert_eq!(data(found), data(part.clone()), "{axis}");
            }
        }
    }

    #[test]
    fn what_is_stacked_comes_back_on_flex() {
        round_trip::<Flex>();
    }

    #[cfg(feature = "ndarray")]
    #[test]
    #[allow(deprecated)] // Burn 0.22 still ships NdArray.
    fn what_is_stacked_comes_back_on_ndarray() {
        round_trip::<burn::backend::NdArray>();
    }
}
