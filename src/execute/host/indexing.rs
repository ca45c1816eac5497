//! Elements picked from rows, and added into rows, by their places, with results in memory that serves again: what the windows
//! of a pooling layer are in a recorded program. A place that is out of range is left to the backend, which says so.

use burn_backend::{DType, Element, Shape};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::{memory::Memory, number::Number};
use crate::parallel::are_busy;

/// Elements from which on the rows are shared among threads.
const SHARED: usize = 1 << 15;

/// What one thread works on at a time.
const PART: usize = 1 << 14;

/// An integer type of places.
pub(super) trait Place: Element + Copy + Send + Sync {
    fn memory(tensor: &FlexTensor) -> &[Self];

    /// All of a tensor's memory, if no clone of it is alive. The element type must be the tensor's.
    fn memory_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]>;

    /// A place within an image, which has fewer elements than either type counts.
    fn at(index: usize) -> Self;

    /// Where it is; past every end if it is negative.
    fn index(self) -> usize;
}

impl Place for i32 {
    fn memory(tensor: &FlexTensor) -> &[Self] {
        tensor.storage()
    }

    fn memory_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]> {
        tensor.try_storage_mut()
    }

    fn at(index: usize) -> Self {
        index as Self
    }

    fn index(self) -> usize {
        usize::try_from(self).unwrap_or(usize::MAX)
    }
}

impl Place for i64 {
    fn memory(tensor: &FlexTensor) -> &[Self] {
        tensor.storage()
    }

    fn memory_mut(tensor: &mut FlexTensor) -> Option<&mut [Self]> {
        tensor.try_storage_mut()
    }

    fn at(index: usize) -> Self {
        index as Self
    }

    fn index(self) -> usize {
        usize::try_from(self).unwrap_or(usize::MAX)
    }
}

/// Zeros, as many as a shape has.
pub(super) fn zeros(
    shape: &Shape,
    dtype: DType,
    (memory, allowed): (&mut Memory, usize),
) -> Option<FlexTensor> {
    let mut result = memory.tensor(shape, dtype, allowed);
    match dtype {
        DType::F32 => clear(f32::memory_mut(&mut result)?),
        DType::F64 => clear(f64::memory_mut(&mut result)?),
        _ => return None,
    }
    Some(result)
}

fn clear<N: Number>(to: &mut [N]) {
    if to.len() >= SHARED && !are_busy() {
        to.par_chunks_mut(PART).for_each(|part| part.fill(N::default()));
    } else {
        to.fill(N::default());
    }
}

/// `result[…, j] = x[…, places[…, j]]`
pub(super) fn gathered(
    (x, places): (&FlexTensor, &FlexTensor),
    dim: usize,
    shape: &Shape,
    (memory, allowed): (&mut Memory, usize),
) -> Option<FlexTensor> {
    if !matches!(x.dtype(), DType::F32 | DType::F64) || !are_rows(x, places, dim) {
        return None;
    }
    let fits = places.layout().shape() == shape && shape.num_elements() > 0 && last(x) > 0;
    let mut result = fits.then(|| memory.tensor(shape, x.dtype(), allowed))?;
    match (x.dtype(), places.dtype()) {
        (DType::F32, DType::I32) => gather::<f32, i32>(x, places, &mut result)?,
        (DType::F32, DType::I64) => gather::<f32, i64>(x, places, &mut result)?,
        (DType::F64, DType::I32) => gather::<f64, i32>(x, places, &mut result)?,
        (DType::F64, DType::I64) => gather::<f64, i64>(x, places, &mut result)?,
        _ => return None,
    }
    Some(result)
}

fn gather<N: Number, P: Place>(
    x: &FlexTensor,
    places: &FlexTensor,
    result: &mut FlexTensor,
) -> Option<()> {
    let [width, count] = [x, places].map(last);
    let (from, at) = (elements(x, N::memory)?, elements(places, P::memory)?);
    let rows = (PART / count).max(1);
    let part = |(number, to): (usize, &mut [N])| {
        let start = number * rows;
        let (from, at) = (&from[start * width..], &at[start * count..]);
        let each = to.chunks_exact_mut(count).zip(from.chunks_exact(width));
        let mut each = each.zip(at.chunks_exact(count));
        each.all(|((to, from), at)| {
            let mut pairs = to.iter_mut().zip(at);
            pairs.all(|(to, at)| from.get(at.index()).map(|&from| *to = from).is_some())
        })
    };
    let to = N::memory_mut(result)?;
    let found = if to.len() >= SHARED && !are_busy() {
        to.par_chunks_mut(rows * count).enumerate().map(part).reduce(|| true, |a, b| a & b)
    } else {
        to.chunks_mut(rows * count).enumerate().all(part)
    };
    found.then_some(())
}

/// `x[…, places[…, j]] += value[…, j]`, in order, in the memory of x. Changes nothing if it returns `None`.
pub(super) fn added(
    x: &mut FlexTensor,
    dim: usize,
    (places, value): (&FlexTensor, &FlexTensor),
) -> Option<()> {
    let same = value.dtype() == x.dtype() && value.layout().shape() == places.layout().shape();
    if !same || !value.is_contiguous() || !are_rows(x, places, dim) {
        return None;
    }
    match (x.dtype(), places.dtype()) {
        (DType::F32, DType::I32) => add::<f32, i32>(x, places, value),
        (DType::F32, DType::I64) => add::<f32, i64>(x, places, value),
        (DType::F64, DType::I32) => add::<f64, i32>(x, places, value),
        (DType::F64, DType::I64) => add::<f64, i64>(x, places, value),
        _ => None,
    }
}

fn add<N: Number, P: Place>(
    x: &mut FlexTensor,
    places: &FlexTensor,
    value: &FlexTensor,
) -> Option<()> {
    let [width, count] = [&*x, places].map(last);
    let (at, from) = (elements(places, P::memory)?, elements(value, N::memory)?);
    if count == 0 || width == 0 || at.iter().any(|at| at.index() >= width) {
        return None;
    }
    let whole = x.layout().start_offset() == 0;
    let to = N::memory_mut(x).filter(|to| whole && to.len() / width == at.len() / count)?;
    let rows = (PART / width).max(1);
    let part = |(number, to): (usize, &mut [N])| {
        let start = number * rows * count;
        let each = to.chunks_exact_mut(width).zip(at[start..].chunks_exact(count));
        for ((to, at), from) in each.zip(from[start..].chunks_exact(count)) {
            for (at, &from) in at.iter().zip(from) {
                to[at.index()] += from;
            }
        }
    };
    if to.len() >= SHARED && !are_busy() {
        to.par_chunks_mut(rows * width).enumerate().for_each(part);
    } else {
        to.chunks_mut(rows * width).enumerate().for_each(part);
    }
    Some(())
}

/// Whether both lie in memory row by row, as many rows of each, along a dimension that is the last.
fn are_rows(x: &FlexTensor, places: &FlexTensor, dim: usize) -> bool {
    let [x, places] = [x, places].map(FlexTensor::layout);
    let rank = x.num_dims();
    dim + 1 == rank
        && places.num_dims() == rank
        && x.shape()[..dim] == places.shape()[..dim]
        && x.is_contiguous()
        && places.is_contiguous()
}

/// Size of the last dimension.
fn last(tensor: &FlexTensor) -> usize {
    tensor.layout().shape().iter().next_back().copied().unwrap_or(1)
}

/// The elements of a contiguous tensor.
fn elements<'a, E>(
    tensor: &'a FlexTensor,
    memory: impl Fn(&'a FlexTensor) -> &'a [E],
) -> Option<&'a [E]> {
    let (start, end) = tensor.layout().contiguous_offsets()?;
    memory(tensor).get(start..end)
}
