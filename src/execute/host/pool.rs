//! Max pooling with the places of the maxima, where all windows lie within the image: no limits are computed for each window,
//! and nothing branches.

use burn_backend::{DType, Shape};
use burn_flex::FlexTensor;
use faer::traits::pulp::Arch;
use rayon::prelude::*;

use super::{indexing::Place, memory::Memory, number::Number};
use crate::{
    graph::{Op, ValueType},
    parallel::are_busy,
};

/// Comparisons from which on the images are shared among threads.
const SHARED: usize = 1 << 15;

/// Windows that all lie within images of one size.
#[derive(Clone, Copy)]
struct Windows {
    image: [usize; 2],
    /// How many windows there are.
    counts: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
}

impl Windows {
    /// Those of an operation, if it asks for places, pads nothing and cuts no window short.
    fn new(op: &Op, x: &Shape, result: &Shape) -> Option<Self> {
        let Op::MaxPool { window, indices: true } = op else { return None };
        let pair = |values: &[usize]| <[usize; 2]>::try_from(values).ok();
        let (&[n, c, h, w], &[m, d, rows, columns]) = (&x[..], &result[..]) else { return None };
        let windows = Self {
            image: [h, w],
            counts: [rows, columns],
            kernel: pair(&window.kernel)?,
            stride: pair(&window.stride)?,
            dilation: pair(&window.dilation)?,
        };
        let within = (0..2).all(|axis| {
            let (Some(last), Some(reach)) =
                (windows.counts[axis].checked_sub(1), windows.kernel[axis].checked_sub(1))
            else {
                return false;
            };
            last * windows.stride[axis] + reach * windows.dilation[axis] < windows.image[axis]
        });
        let plain = (n, c) == (m, d) && window.padding.iter().all(|&padding| padding == 0);
        (plain && within).then_some(windows)
    }

    /// The largest element of each window of an image, and its place in the image.
    #[inline(always)]
    fn largest<N: Number + PartialOrd, P: Place>(
        &self,
        image: &[N],
        largest: &mut [N],
        places: &mut [P],
    ) {
        let ([_, width], [_, columns]) = (self.image, self.counts);
        let squares = (self.kernel, self.stride, self.dilation) == ([2, 2], [2, 2], [1, 1]);
        let rows = largest.chunks_exact_mut(columns).zip(places.chunks_exact_mut(columns));
        for (row, (largest, places)) in rows.enumerate() {
            let start = row * self.stride[0] * width;
            if squares {
                squares_of_a_row(image, (start, width), largest, places);
                continue;
            }
            for (column, (largest, place)) in largest.iter_mut().zip(places).enumerate() {
                let first = start + column * self.stride[1];
                let mut best = (image[first], P::at(first));
                for down in 0..self.kernel[0] {
                    let row = first + down * self.dilation[0] * width;
                    for right in 0..self.kernel[1] {
                        let at = row + right * self.dilation[1];
                        best = better(best, (image[at], P::at(at)));
                    }
                }
                (*largest, *place) = best;
            }
        }
    }
}

/// A row of windows of two times two elements that do not overlap.
#[inline(always)]
fn squares_of_a_row<N: Number + PartialOrd, P: Place>(
    image: &[N],
    (start, width): (usize, usize),
    largest: &mut [N],
    places: &mut [P],
) {
    let [above, below] = [start, start + width].map(|at| image[at..].as_chunks::<2>().0);
    let results = largest.iter_mut().zip(places);
    for (column, ((largest, place), (above, below))) in
        results.zip(above.iter().zip(below)).enumerate()
    {
        let first = start + 2 * column;
        let mut best = (above[0], P::at(first));
        best = better(best, (above[1], P::at(first + 1)));
        best = better(best, (below[0], P::at(first + width)));
        best = better(best, (below[1], P::at(first + width + 1)));
        (*largest, *place) = best;
    }
}

/// The larger of two elements with its place: the first if they are equal, and NaN before all others.
#[inline(always)]
fn better<N: PartialOrd + Copy, P: Copy>(best: (N, P), other: (N, P)) -> (N, P) {
    #[allow(clippy::eq_op)] // NaN is the only number that differs from itself.
    let wins = (other.0 > best.0) | (other.0 != other.0);
    if wins { other } else { best }
}

/// The largest elements and their places, if the operation is such a pool of f32 or f64.
pub(super) fn pooled(
    op: &Op,
    x: &FlexTensor,
    [values, places]: [&ValueType; 2],
    (memory, allowed): (&mut Memory, usize),
) -> Option<[FlexTensor; 2]> {
    let windows = Windows::new(op, x.layout().shape(), &values.shape)?;
    let image = windows.image[0] * windows.image[1];
    let fits = x.dtype() == values.dtype && places.shape == values.shape;
    if !fits || image > i32::MAX as usize || values.shape.num_elements() == 0 {
        return None;
    }
    let x = x.to_contiguous();
    let mut largest = memory.tensor(&values.shape, values.dtype, allowed);
    let mut found = memory.tensor(&places.shape, places.dtype, allowed);
    let results = [&mut largest, &mut found];
    match (values.dtype, places.dtype) {
        (DType::F32, DType::I32) => pool_all::<f32, i32>(&windows, &x, results)?,
        (DType::F32, DType::I64) => pool_all::<f32, i64>(&windows, &x, results)?,
        (DType::F64, DType::I32) => pool_all::<f64, i32>(&windows, &x, results)?,
        (DType::F64, DType::I64) => pool_all::<f64, i64>(&windows, &x, results)?,
        _ => return None,
    }
    Some([largest, found])
}

fn pool_all<N: Number + PartialOrd, P: Place>(
    windows: &Windows,
    x: &FlexTensor,
    [largest, places]: [&mut FlexTensor; 2],
) -> Option<()> {
    let x = N::memory(x);
    let (largest, places) = (N::memory_mut(largest)?, P::memory_mut(places)?);
    let image = windows.image[0] * windows.image[1];
    let count = windows.counts[0] * windows.counts[1];
    let work = largest.len() * windows.kernel[0] * windows.kernel[1];
    let images = x.len() / image;
    let each = |((x, largest), places): ((&[N], &mut [N]), &mut [P])| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let all = x.chunks_exact(image).zip(largest.chunks_exact_mut(count));
                for ((x, largest), places) in all.zip(places.chunks_exact_mut(count)) {
                    windows.largest(x, largest, places);
                }
            },
        );
    };
    if work < SHARED || are_busy() {
        each(((x, largest), places));
        return Some(());
    }
    let part = images.div_ceil(2 * rayon::current_num_threads());
    x.par_chunks(part * image)
        .zip(largest.par_chunks_mut(part * count))
        .zip(places.par_chunks_mut(part * count))
        .for_each(each);
    Some(())
}
