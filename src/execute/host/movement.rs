//! Operations that move elements, and small sums, with results in memory that serves again.

use burn_backend::{DType, Shape, ops::UnfoldOptions};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{
    convolution::unfolded,
    elements::{Elements, are_rows},
    memory::Memory,
    number::Number,
};
use crate::{
    graph::{Op, Reduction},
    parallel::are_busy,
};

/// Elements up to which a sum is made here: a few take the backend longer to prepare than to add.
const FEW: usize = 1 << 12;

/// Rows that such a sum adds up, at most.
const ROWS: usize = 1 << 7;

/// What one thread copies at a time.
const PART: usize = 1 << 14;

/// The result of an operation of one operand that moves or sums elements, if it is faster here than by the backend.
pub(super) fn moved(
    op: &Op,
    x: &FlexTensor,
    shape: &Shape,
    (memory, allowed): (&mut Memory, usize),
) -> Option<FlexTensor> {
    let rank = x.layout().num_dims();
    match op {
        Op::Reshape if x.layout().num_elements() != shape.num_elements() => None,
        Op::Reshape if x.is_contiguous() => Some(x.reshape(shape.clone())),
        Op::SwapDims(a, b) if *a.max(b) < rank => Some(x.transpose(*a, *b)),
        Op::Permute(axes) if axes.len() == rank => Some(x.permute(axes)),
        Op::Reshape if shape.num_elements() == 0 => None,
        Op::Reshape => match x.dtype() {
            DType::F32 => copied::<f32>(x, shape, memory, allowed),
            DType::F64 => copied::<f64>(x, shape, memory, allowed),
            _ => None,
        },
        Op::Unfold4d { kernel, stride, padding, dilation } => {
            let options = UnfoldOptions { stride: *stride, padding: *padding, dilation: *dilation };
            unfolded((*kernel, &options), x, shape, (memory, allowed))
        }
        &Op::ReduceDim(of @ (Reduction::Sum | Reduction::Mean), dim)
            if dim < rank && x.is_contiguous() =>
        {
            let behind: usize = shape.iter().skip(dim + 1).product();
            let few = x.layout().num_elements() <= FEW.min(ROWS * behind);
            match x.dtype() {
                DType::F32 if few => reduced::<f32>(of, (x, dim), shape, (memory, allowed)),
                DType::F64 if few => reduced::<f64>(of, (x, dim), shape, (memory, allowed)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The sum or the mean along a dimension, in order.
fn reduced<N: Number>(
    of: Reduction,
    (x, dim): (&FlexTensor, usize),
    shape: &Shape,
    (memory, allowed): (&mut Memory, usize),
) -> Option<FlexTensor> {
    let (start, end) = x.layout().contiguous_offsets()?;
    let from = N::memory(x).get(start..end)?;
    let (&count, behind) = x.layout().shape().get(dim..)?.split_first()?;
    let behind: usize = behind.iter().product();
    if shape.num_elements() * count != from.len() || from.is_empty() {
        return None;
    }
    let mut result = memory.tensor(shape, x.dtype(), allowed);
    let sums = N::memory_mut(&mut result)?.chunks_exact_mut(behind);
    for (to, from) in sums.zip(from.chunks_exact(count * behind)) {
        let mut rows = from.chunks_exact(behind);
        to.copy_from_slice(rows.next()?);
        rows.for_each(|row| to.iter_mut().zip(row).for_each(|(to, &x)| *to += x));
        if of == Reduction::Mean {
            let count = N::of(count as f64);
            to.iter_mut().for_each(|to| *to /= count);
        }
    }
    Some(result)
}

/// A tensor in memory of its own.
pub(super) fn duplicated(
    x: &FlexTensor,
    (memory, allowed): (&mut Memory, usize),
) -> Option<FlexTensor> {
    match x.dtype() {
        DType::F32 => copied::<f32>(x, x.layout().shape(), memory, allowed),
        DType::F64 => copied::<f64>(x, x.layout().shape(), memory, allowed),
        _ => None,
    }
}

fn copied<N: Number>(
    view: &FlexTensor,
    shape: &Shape,
    memory: &mut Memory,
    allowed: usize,
) -> Option<FlexTensor> {
    let own = view.layout().shape();
    if !are_rows(view, own) {
        return None; // Columns are copied best tile by tile.
    }
    let elements = Elements::<N>::new(view, own)?;
    let mut result = memory.tensor(shape, view.dtype(), allowed);
    let to = N::memory_mut(&mut result)?;
    let load = |(part, to): (usize, &mut [N])| match &elements {
        Elements::Dense(all) => to.copy_from_slice(&all[part * PART..][..to.len()]),
        Elements::Uniform(number) => to.fill(*number),
        Elements::Strided(walk) => walk.load(part * PART, to),
    };
    if to.len() < 4 * PART || are_busy() {
        to.chunks_mut(PART).enumerate().for_each(load);
    } else {
        to.par_chunks_mut(PART).enumerate().for_each(load);
    }
    Some(result)
}
