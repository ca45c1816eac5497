//! Copies between tensors and one tensor of them all.

use burn_backend::{Backend, DType, Element, TensorData, TensorMetadata, tensor::FloatTensor};

use super::access::{self, Contiguous};

/// Tensors of one shape as one with a leading axis.
pub(in crate::space) fn stacked<B: Backend>(parts: &[FloatTensor<B>]) -> Option<FloatTensor<B>> {
    match parts.first().and_then(access::dtype::<B>)? {
        DType::F32 => stacked_of::<B, f32>(parts),
        DType::F64 => stacked_of::<B, f64>(parts),
        _ => None,
    }
}

fn stacked_of<B: Backend, N: Contiguous + Element>(
    parts: &[FloatTensor<B>],
) -> Option<FloatTensor<B>> {
    let first = parts.first()?;
    let own = first.shape();
    let mut elements = Vec::with_capacity(parts.len() * own.num_elements());
    for part in parts {
        elements.extend_from_slice(access::elements::<B, N>(part)?);
    }
    let shape: Vec<usize> = [parts.len()].into_iter().chain(own.iter().copied()).collect();
    (elements.len() == shape.iter().product::<usize>())
        .then(|| B::float_from_data(TensorData::new(elements, shape), &first.device()))
}

/// The entries of a tensor along its first dimension, each in memory of its own.
pub(in crate::space) fn unstacked<B: Backend>(
    stack: &FloatTensor<B>,
) -> Option<Vec<FloatTensor<B>>> {
    match access::dtype::<B>(stack)? {
        DType::F32 => unstacked_of::<B, f32>(stack),
        DType::F64 => unstacked_of::<B, f64>(stack),
        _ => None,
    }
}

fn unstacked_of<B: Backend, N: Contiguous + Element>(
    stack: &FloatTensor<B>,
) -> Option<Vec<FloatTensor<B>>> {
    let shape = stack.shape();
    let (&count, own) = shape.as_slice().split_first()?;
    let (elements, device) = (access::elements::<B, N>(stack)?, stack.device());
    let size: usize = own.iter().product();
    let parts = elements
        .chunks_exact(size.max(1))
        .map(|part| B::float_from_data(TensorData::new(part.to_vec(), own.to_vec()), &device));
    let parts: Vec<_> = parts.collect();
    (parts.len() == count).then_some(parts)
}
