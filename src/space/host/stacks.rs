//! Copies between tensors and one tensor of them all.

use burn_backend::{Backend, DType, TensorMetadata, tensor::FloatTensor};

use super::{
    super::ParamLayout,
    access::{self, Contiguous},
};

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

fn stacked_of<B: Backend, N: Contiguous>(
    parts: &[&FloatTensor<B>],
    axis: usize,
) -> Option<FloatTensor<B>> {
    let sources = parts.iter().map(|part| access::elements::<B, N>(part));
    let sources = sources.collect::<Option<Vec<&[N]>>>()?;
    let first = parts.first()?;
    interleaved::<B, N>(&sources, (&first.shape(), axis))
}

/// The blocks of vectors that are one tensor each, every block as one tensor with an axis at a place of its own.
pub(in crate::space) fn stacked_flat<B: Backend>(
    vectors: &[&FloatTensor<B>],
    layout: &ParamLayout,
    axes: &[usize],
) -> Option<Vec<FloatTensor<B>>> {
    match vectors.first().copied().and_then(access::dtype::<B>)? {
        DType::F32 => stacked_flat_of::<B, f32>(vectors, layout, axes),
        DType::F64 => stacked_flat_of::<B, f64>(vectors, layout, axes),
        _ => None,
    }
}

fn stacked_flat_of<B: Backend, N: Contiguous>(
    vectors: &[&FloatTensor<B>],
    layout: &ParamLayout,
    axes: &[usize],
) -> Option<Vec<FloatTensor<B>>> {
    let elements = vectors.iter().map(|vector| access::elements::<B, N>(vector));
    let elements = elements.collect::<Option<Vec<&[N]>>>()?;
    let blocks = layout.blocks().iter().zip(axes).map(|(block, &axis)| {
        let sources = elements.iter().map(|elements| elements.get(block.range()));
        let sources = sources.collect::<Option<Vec<&[N]>>>()?;
        interleaved::<B, N>(&sources, (block.shape(), axis))
    });
    blocks.collect()
}

/// The elements of tensors of one shape as one tensor with an axis at a place.
fn interleaved<B: Backend, N: Contiguous>(
    sources: &[&[N]],
    (shape, axis): (&[usize], usize),
) -> Option<FloatTensor<B>> {
    let run = shape.get(axis..)?.iter().product::<usize>().max(1);
    let size: usize = shape.iter().product();
    if sources.iter().any(|source| source.len() != size) {
        return None;
    }
    let mut elements = vec![N::default(); sources.len() * size];
    let row = run * sources.len();
    for (index, source) in sources.iter().enumerate() {
        let to = elements.get_mut(index * run..).unwrap_or_default();
        if run == 1 {
            to.iter_mut().step_by(row).zip(*source).for_each(|(to, &from)| *to = from);
            continue;
        }
        for (to, from) in to.chunks_mut(row).zip(source.chunks_exact(run)) {
            to[..run].copy_from_slice(from);
        }
    }
    let mut shape = shape.to_vec();
    shape.insert(axis, sources.len());
    access::tensor::<B, N>(elements, &shape)
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

fn unstacked_of<B: Backend, N: Contiguous>(
    stack: &FloatTensor<B>,
    axis: usize,
) -> Option<Vec<FloatTensor<B>>> {
    let mut own = stack.shape();
    let count = (axis < own.num_dims()).then(|| own.remove(axis))?;
    let elements = access::elements::<B, N>(stack)?;
    let run = own.get(axis..)?.iter().product::<usize>().max(1);
    let size = elements.len() / count.max(1);
    let part = |index: usize| {
        let mut part = Vec::with_capacity(size);
        for run in elements.chunks_exact(run).skip(index).step_by(count) {
            part.extend_from_slice(run);
        }
        access::tensor::<B, N>(part, &own)
    };
    (0..count).map(part).collect()
}

/// Vectors from their blocks, each of which is stacked along an axis: one tensor of all elements for each vector.
pub(in crate::space) fn unstacked_flat<B: Backend>(
    stacks: &[(FloatTensor<B>, usize)],
    layout: &ParamLayout,
    count: usize,
) -> Option<Vec<FloatTensor<B>>> {
    match stacks.first().and_then(|(stack, _)| access::dtype::<B>(stack))? {
        DType::F32 => unstacked_flat_of::<B, f32>(stacks, layout, count),
        DType::F64 => unstacked_flat_of::<B, f64>(stacks, layout, count),
        _ => None,
    }
}

fn unstacked_flat_of<B: Backend, N: Contiguous>(
    stacks: &[(FloatTensor<B>, usize)],
    layout: &ParamLayout,
    count: usize,
) -> Option<Vec<FloatTensor<B>>> {
    let blocks = layout.blocks();
    let sources = stacks.iter().zip(blocks).map(|((stack, axis), block)| {
        let mut shape = block.shape().to_vec();
        let run: usize = shape.get(*axis..)?.iter().product();
        shape.insert(*axis, count);
        let fits = stack.shape()[..] == shape[..] && run > 0;
        access::elements::<B, N>(stack).filter(|_| fits).map(|elements| (elements, run))
    });
    let sources = sources.collect::<Option<Vec<_>>>().filter(|all| all.len() == blocks.len())?;
    let vector = |index: usize| {
        let mut vector = Vec::with_capacity(layout.len());
        for &(elements, run) in &sources {
            let own = elements.get(index * run..).unwrap_or_default();
            if run == 1 {
                vector.extend(own.iter().step_by(count).copied());
                continue;
            }
            for row in own.chunks(run * count) {
                vector.extend_from_slice(&row[..run]);
            }
        }
        access::tensor::<B, N>(vector, &[layout.len()])
    };
    (0..count).map(vector).collect()
}
