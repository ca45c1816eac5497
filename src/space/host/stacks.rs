//! Copies between tensors and one tensor of them all.

use burn_backend::{Backend, DType, Element, TensorData, TensorMetadata, tensor::FloatTensor};

use super::access::{self, Contiguous};

/// Tensors of one shape as one with an axis at a place.
pub(in crate::space) fn stacked<B: Backend>(
    parts: &[&FloatTensor<B>],
    axis: usize,
) -> Option<FloatTensor<B>> {
    match parts.first().copied().and_then(access::dtype::<B>)? {
        DType::F32 => stacked_of::<B, f32>(parts, axis),
        DType::F64 => stacked_of::<B, f64>(parts, axis),
        _ => None,
    }
}

fn stacked_of<B: Backend, N: Contiguous + Element>(
    parts: &[&FloatTensor<B>],
    axis: usize,
) -> Option<FloatTensor<B>> {
    let first = parts.first()?;
    let mut shape = first.shape().to_vec();
    let run: usize = shape.get(axis..)?.iter().product();
    let sources = parts.iter().map(|part| access::elements::<B, N>(part));
    let sources = sources.collect::<Option<Vec<&[N]>>>()?;
    let mut elements = Vec::with_capacity(parts.len() * first.shape().num_elements());
    for start in (0..first.shape().num_elements()).step_by(run.max(1)) {
        for source in &sources {
            elements.extend_from_slice(source.get(start..start + run)?);
        }
    }
    shape.insert(axis, parts.len());
    (elements.len() == shape.iter().product::<usize>())
        .then(|| B::float_from_data(TensorData::new(elements, shape), &first.device()))
}

/// The entries of a tensor along its axis, each in memory of its own.
pub(in crate::space) fn unstacked<B: Backend>(
    stack: &FloatTensor<B>,
    axis: usize,
) -> Option<Vec<FloatTensor<B>>> {
    match access::dtype::<B>(stack)? {
        DType::F32 => unstacked_of::<B, f32>(stack, axis),
        DType::F64 => unstacked_of::<B, f64>(stack, axis),
        _ => None,
    }
}

fn unstacked_of<B: Backend, N: Contiguous + Element>(
    stack: &FloatTensor<B>,
    axis: usize,
) -> Option<Vec<FloatTensor<B>>> {
    let mut own = stack.shape();
    let count = (axis < own.num_dims()).then(|| own.remove(axis))?;
    let (elements, device) = (access::elements::<B, N>(stack)?, stack.device());
    let run = own.get(axis..)?.iter().product::<usize>().max(1);
    let size = elements.len() / count.max(1);
    let part = |index: usize| {
        let mut part = Vec::with_capacity(size);
        for run in elements.chunks_exact(run).skip(index).step_by(count) {
            part.extend_from_slice(run);
        }
        B::float_from_data(TensorData::new(part, own.clone()), &device)
    };
    Some((0..count).map(part).collect())
}
