//! Convolutions of images, and their gradients with respect to the images, as matrix products with the patches of one
//! image at a time, which stay in the cache.

use std::ops::Range;

use burn_backend::{
    DType, Shape,
    ops::{ConvOptions, UnfoldOptions},
};
use burn_flex::FlexTensor;
use faer::{
    Accum, MatMut, MatRef, Par, linalg::matmul::matmul, prelude::ReborrowMut, traits::ComplexField,
};
use rayon::prelude::*;

use super::{gradient::Neighbors, memory::Memory, number::Number, patches::Window};
use crate::{
    graph::{Convolution, Op, ValueType, WithRespectTo},
    parallel::are_busy,
};

/// Elements of the patches that are made at a time: they stay in the cache of a core.
const PATCHES: usize = 1 << 16;

/// Multiply-adds from which on the images are shared among threads.
const SHARED: usize = 1 << 19;

/// The patches of all images, `[n, patch, positions]`.
pub(super) fn unfolded(
    (kernel, options): ([usize; 2], &UnfoldOptions),
    x: &FlexTensor,
    shape: &Shape,
    (memory, allowed): (&mut Memory, usize),
) -> Option<FlexTensor> {
    let (&[images, channels, h, w], &[n, patch, positions]) = (&x.layout().shape()[..], &shape[..])
    else {
        return None;
    };
    let UnfoldOptions { stride, padding, dilation } = *options;
    let extent = |axis: usize, size: usize| {
        let reach = dilation[axis] * kernel[axis].checked_sub(1)? + 1;
        Some((size + 2 * padding[axis]).checked_sub(reach)? / stride[axis].max(1) + 1)
    };
    let positions_of = [extent(0, h)?, extent(1, w)?];
    let window = Window {
        channels,
        image: [h, w],
        positions: positions_of,
        kernel,
        stride,
        dilation,
        padding,
    };
    let fits = (n, patch, positions) == (images, window.patch(), positions_of[0] * positions_of[1]);
    if !fits || shape.num_elements() == 0 || !matches!(x.dtype(), DType::F32 | DType::F64) {
        return None;
    }
    let (x, mut result) = (x.to_contiguous(), memory.tensor(shape, x.dtype(), allowed));
    match x.dtype() {
        DType::F32 => unfold_all::<f32>(&window, &x, &mut result)?,
        _ => unfold_all::<f64>(&window, &x, &mut result)?,
    }
    Some(result)
}

fn unfold_all<N: Number>(window: &Window, x: &FlexTensor, result: &mut FlexTensor) -> Option<()> {
    let (from, to) = (N::memory(x), N::memory_mut(result)?);
    let image = window.channels * window.image[0] * window.image[1];
    let patches = window.patch() * window.positions[0] * window.positions[1];
    let unfold = |(from, to): (&[N], &mut [N])| window.unfold(from, 0..window.positions[0], to);
    if to.len() >= SHARED && !are_busy() {
        from.par_chunks(image).zip(to.par_chunks_mut(patches)).for_each(unfold);
    } else {
        from.chunks(image).zip(to.chunks_mut(patches)).for_each(unfold);
    }
    Some(())
}

/// A convolution without bias and groups, or the gradient with respect to its image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Images {
    window: Window,
    images: usize,
    outputs: usize,
    gradient: bool,
    dtype: DType,
}

impl Images {
    /// The sizes of an operation with operands of some shapes, if it is such.
    pub fn new(op: &Op, shapes: &[&Shape], result: &ValueType) -> Option<Self> {
        let shape = |position: usize| shapes.get(position).map(|shape| &shape[..]);
        let (options, gradient) = match op {
            Op::Conv { conv: Convolution::D2(options), bias: false } => (options, false),
            Op::ConvBackward(Convolution::D2(options), WithRespectTo::Input) => (options, true),
            _ => return None,
        };
        let map = if gradient { shape(2)? } else { &result.shape[..] };
        let (&[images, channels, h, w], &[outputs, of_kernel, k_h, k_w], &[n, o, p_h, p_w]) =
            (shape(0)?, shape(1)?, map)
        else {
            return None;
        };
        let ConvOptions { stride, padding, dilation, groups } = options;
        let window = Window {
            channels,
            image: [h, w],
            positions: [p_h, p_w],
            kernel: [k_h, k_w],
            stride: *stride,
            dilation: *dilation,
            padding: [padding[0].0, padding[1].0],
        };
        let consistent = *groups == 1 && of_kernel == channels && (n, o) == (images, outputs);
        let some =
            [images, channels, h, w, outputs, k_h, k_w, p_h, p_w].iter().all(|&size| size > 0);
        let expected = if gradient { shape(0)? } else { map };
        let fits = consistent && some && &result.shape[..] == expected;
        fits.then_some(Self { window, images, outputs, gradient, dtype: result.dtype })
    }

    /// Which operand is convolved, or passed back.
    pub fn source(&self) -> usize {
        if self.gradient { 2 } else { 0 }
    }

    /// The result in its shape, if the operands are of the recorded types.
    pub fn run(
        &self,
        [source, kernel]: [&FlexTensor; 2],
        shape: &Shape,
        (memory, allowed): (&mut Memory, usize),
    ) -> Option<FlexTensor> {
        let mut result = memory.tensor(shape, self.dtype, allowed);
        match self.dtype {
            DType::F32 => self.run_in::<f32>(source, kernel, &mut result)?,
            DType::F64 => self.run_in::<f64>(source, kernel, &mut result)?,
            _ => return None,
        }
        Some(result)
    }

    fn run_in<N: Number + ComplexField>(
        &self,
        source: &FlexTensor,
        kernel: &FlexTensor,
        result: &mut FlexTensor,
    ) -> Option<()> {
        let own = |tensor: &FlexTensor| tensor.dtype() == self.dtype;
        if !own(source) || !own(kernel) {
            return None;
        }
        let (source, kernel) = (source.to_contiguous(), kernel.to_contiguous());
        let (from, kernel) = (N::memory(&source), N::memory(&kernel));
        let kernel = MatRef::from_row_major_slice(kernel, self.outputs, self.window.patch());
        let to = N::memory_mut(result)?;
        let (image, map) = (
            self.window.channels * self.window.image[0] * self.window.image[1],
            self.outputs * self.positions(),
        );
        let (read, write) = if self.gradient { (map, image) } else { (image, map) };
        if from.len() != self.images * read || to.len() != self.images * write {
            return None;
        }
        let work = self.images * map * self.window.patch();
        let threads = if work >= SHARED && !are_busy() { rayon::current_num_threads() } else { 1 };
        let part = self.images.div_ceil(2 * threads);
        let parts = |(from, to): (&[N], &mut [N])| {
            let size = self.window.patch() * self.rows() * self.window.positions[1];
            let neighbors = Neighbors::new(&self.window, self.outputs).filter(|_| self.gradient);
            let images = from.chunks(read).zip(to.chunks_mut(write));
            if let Some(neighbors) = neighbors {
                let mut scratch = neighbors.scratch();
                for (from, to) in images {
                    neighbors.gradient(kernel, from, to, &mut scratch);
                }
                return;
            }
            let mut patches = vec![N::default(); size];
            for (from, to) in images {
                if self.gradient {
                    self.gradient(kernel, from, to, &mut patches);
                } else {
                    self.convolve(kernel, from, to, &mut patches);
                }
            }
        };
        if threads > 1 {
            from.par_chunks(part * read).zip(to.par_chunks_mut(part * write)).for_each(parts);
        } else {
            parts((from, to));
        }
        Some(())
    }

    /// Rows of positions at a time.
    fn rows(&self) -> usize {
        let row = self.window.patch() * self.window.positions[1];
        (PATCHES / row).clamp(1, self.window.positions[0])
    }

    /// Calls `work` with some rows of positions at a time, the positions in them and memory for their patches.
    fn by_rows<N>(
        &self,
        patches: &mut [N],
        mut work: impl FnMut(Range<usize>, Range<usize>, &mut [N]),
    ) {
        let [all, columns] = self.window.positions;
        for start in (0..all).step_by(self.rows()) {
            let end = all.min(start + self.rows());
            let positions = start * columns..end * columns;
            let size = self.window.patch() * positions.len();
            work(start..end, positions, &mut patches[..size]);
        }
    }

    /// One image: `to ← K·U(from)`.
    fn convolve<N: Number + ComplexField>(
        &self,
        kernel: MatRef<'_, N>,
        from: &[N],
        to: &mut [N],
        patches: &mut [N],
    ) {
        let mut to = MatMut::from_row_major_slice_mut(to, self.outputs, self.positions());
        self.by_rows(patches, |rows, positions, patches| {
            self.window.unfold(from, rows, patches);
            let (start, count) = (positions.start, positions.len());
            let patches = MatRef::from_row_major_slice(&*patches, self.window.patch(), count);
            let to = to.rb_mut().subcols_mut(start, count);
            matmul(to, Accum::Replace, kernel, patches, N::of(1.0), Par::Seq);
        });
    }

    /// One image: `to ← U*(Kᵀ·from)`, where U* adds patches into an image.
    fn gradient<N: Number + ComplexField>(
        &self,
        kernel: MatRef<'_, N>,
        from: &[N],
        to: &mut [N],
        patches: &mut [N],
    ) {
        let from = MatRef::from_row_major_slice(from, self.outputs, self.positions());
        to.fill(N::default());
        self.by_rows(patches, |rows, positions, patches| {
            let from = from.subcols(positions.start, positions.len());
            let product = MatMut::from_row_major_slice_mut(
                &mut *patches,
                self.window.patch(),
                positions.len(),
            );
            matmul(product, Accum::Replace, kernel.transpose(), from, N::of(1.0), Par::Seq);
            self.window.fold(patches, rows, to);
        });
    }

    fn positions(&self) -> usize {
        self.window.positions[0] * self.window.positions[1]
    }
}
