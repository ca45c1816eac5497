//! Several tensors of one shape as one with one more dimension, the axis, and back.

use burn_backend::{AutodiffBackend, Backend, Slice, TensorMetadata, tensor::FloatTensor};

use super::{Inner, InnerFloat, ParamSpace, ParamVector, VectorError, host};

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

/// The blocks of several vectors of a space, each stacked along an axis of its own. There must be one vector at least.
pub(crate) fn stacked_vectors<B: AutodiffBackend>(
    space: &ParamSpace<B>,
    vectors: &[&ParamVector<B>],
    axes: &[usize],
) -> Vec<InnerFloat<B>> {
    if !space.keeps_blocks() && space.is_in_memory() {
        let flats: Vec<_> = vectors.iter().flat_map(|vector| vector.tensors()).collect();
        if let Some(stacks) = host::stacked_flat::<Inner<B>>(&flats, space.layout(), axes) {
            return stacks;
        }
    }
    let stack = |(place, &axis): (usize, &usize)| {
        let parts = vectors.iter().filter_map(|vector| vector.blocks().get(place));
        stacked::<Inner<B>>(&parts.collect::<Vec<_>>(), axis)
    };
    axes.iter().enumerate().map(stack).collect()
}

/// Vectors of a space, of which each block is stacked along an axis of its own.
///
/// # Errors
/// Those of [`ParamSpace::from_blocks`].
pub(crate) fn unstacked_vectors<B: AutodiffBackend>(
    space: &ParamSpace<B>,
    stacks: Vec<(InnerFloat<B>, usize)>,
    count: usize,
) -> Result<Vec<ParamVector<B>>, VectorError> {
    if !space.keeps_blocks()
        && space.is_in_memory()
        && let Some(flats) = host::unstacked_flat::<Inner<B>>(&stacks, space.layout(), count)
    {
        let vector = |flat| ParamVector::from_flat(space.clone(), flat);
        return Ok(flats.into_iter().map(vector).collect());
    }
    let mut vectors = vec![Vec::with_capacity(stacks.len()); count];
    for (stack, axis) in stacks {
        let parts = unstacked::<Inner<B>>(stack, axis);
        vectors.iter_mut().zip(parts).for_each(|(vector, part)| vector.push(part));
    }
    vectors.into_iter().map(|blocks| space.from_blocks(blocks)).collect()
}

#[cfg(test)]
mod tests {
    use burn::backend::{Autodiff, Flex};
    use burn_backend::{AutodiffBackend, Backend, TensorData, tensor::FloatTensor};

    use super::{stacked, stacked_vectors, unstacked, unstacked_vectors};
    use crate::space::ParamSpace;

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

    /// Vectors of few elements, which are flat, and of more, which keep their blocks.
    fn round_trip_of_vectors<B: AutodiffBackend>() {
        for rows in [3, 3000] {
            let shapes = [("w", vec![rows, 2]), ("b", vec![2]), ("c", vec![2, 1, 3])];
            let space = ParamSpace::<B>::from_shapes(shapes).expect("a layout");
            let vectors: Vec<_> = (0..5).map(|seed| space.normal(seed)).collect();
            let vectors: Vec<_> = vectors.iter().collect();
            for axes in [[0, 0, 0], [1, 0, 2], [2, 1, 3]] {
                let stacks = stacked_vectors(&space, &vectors, &axes);
                assert_eq!(stacks.len(), 3);
                for (place, (stack, &axis)) in stacks.iter().zip(&axes).enumerate() {
                    let parts = unstacked::<B::InnerBackend>(stack.clone(), axis);
                    for (part, vector) in parts.into_iter().zip(&vectors) {
                        let block = &vector.blocks()[place];
                        let read = |tensor| super::super::read_tensor::<B>(tensor).expect("data");
                        assert_eq!(read(part), read(block.clone()), "{place} {axis}");
                    }
                }
                let stacks = stacks.into_iter().zip(axes).collect();
                let found = unstacked_vectors(&space, stacks, 5).expect("they fit");
                assert_eq!(found.len(), 5);
                for (found, vector) in found.into_iter().zip(&vectors) {
                    let expected = vector.to_vec().expect("data");
                    assert_eq!(found.to_vec().expect("data"), expected);
                    let negated: Vec<f64> = expected.iter().map(|x| -x).collect();
                    assert_eq!(found.neg().to_vec().expect("data"), negated);
                }
            }
            let wrong = stacked_vectors(&space, &vectors[..4], &[0, 0, 0]);
            let wrong = wrong.into_iter().map(|stack| (stack, 0)).skip(1).collect();
            assert!(unstacked_vectors(&space, wrong, 4).is_err());
        }
    }

    #[test]
    fn stacked_vectors_come_back_on_flex() {
        round_trip_of_vectors::<Autodiff<Flex>>();
    }

    #[cfg(feature = "ndarray")]
    #[test]
    #[allow(deprecated)] // Burn 0.22 still ships NdArray.
    fn stacked_vectors_come_back_on_ndarray() {
        round_trip_of_vectors::<Autodiff<burn::backend::NdArray>>();
    }

    #[cfg(feature = "ndarray")]
    #[test]
    #[allow(deprecated)] // Burn 0.22 still ships NdArray.
    fn what_is_stacked_comes_back_on_ndarray() {
        round_trip::<burn::backend::NdArray>();
    }
}
