//! Operations that move elements, with results in memory that serves again.

use burn_backend::{DType, Shape, ops::UnfoldOptions};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{
    convolution::unfolded,
    elements::{Elements, are_rows},
    memory::Memory,
    number::Number,
};
use crate::graph::Op;

/// What one thread copies at a time.
const PART: usize = 1 << 14;

/// The result of an operation that moves elements, if it is faster here than by the backend.
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
    let mut result = memory.tensor(shape.clone(), view.dtype(), allowed);
    let to = N::memory_mut(&mut result)?;
    let load = |(part, to): (usize, &mut [N])| match &elements {
        Elements::Dense(all) => to.copy_from_slice(&all[part * PART..][..to.len()]),
        Elements::Uniform(number) => to.fill(*number),
        Elements::Strided(walk) => walk.load(part * PART, to),
    };
    if to.len() < 4 * PART {
        to.chunks_mut(PART).enumerate().for_each(load);
    } else {
        to.par_chunks_mut(PART).enumerate().for_each(load);
    }
    Some(result)
}
