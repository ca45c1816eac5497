//! The gradient of a convolution with respect to one image, where positions lie next to each other: with rows as long as
//! those of the image, all patches' elements at one place of the kernel are neighbors in the image, and are added at once.

use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul, traits::ComplexField};

use super::{chain::Function, number::Number, patches::Window};

/// Elements of the patches that are made at a time: they stay in the cache of a core.
const PATCHES: usize = 1 << 16;

/// Sizes of the image with its padding.
#[derive(Clone, Copy)]
pub(super) struct Neighbors {
    window: Window,
    outputs: usize,
    padded: [usize; 2],
}

/// Memory that serves one image after another.
pub(super) struct Scratch<N> {
    /// What is passed back, with zeros behind each row.
    map: Vec<N>,
    patches: Vec<N>,
    /// The image with its padding, if it has any.
    image: Vec<N>,
}

impl Neighbors {
    /// Those of a convolution to some channels, unless longer rows would cost more than they save.
    pub fn new(window: &Window, outputs: usize) -> Option<Self> {
        let reach = |axis: usize| {
            window.positions[axis] + (window.kernel[axis] - 1) * window.dilation[axis]
        };
        let padded = [reach(0), reach(1)];
        let within = (0..2).all(|axis| window.image[axis] + window.padding[axis] <= padded[axis]);
        let short = 2 * padded[1] <= 3 * window.positions[1];
        (window.stride == [1, 1] && within && short).then_some(Self {
            window: *window,
            outputs,
            padded,
        })
    }

    /// Rows of positions at a time.
    fn rows(&self) -> usize {
        let row = self.window.patch() * self.padded[1];
        (PATCHES / row).clamp(1, self.window.positions[0])
    }

    fn is_padded(&self) -> bool {
        self.padded != self.window.image
    }

    pub fn scratch<N: Number>(&self) -> Scratch<N> {
        let [height, width] = self.padded;
        let image = if self.is_padded() { self.window.channels * height * width } else { 0 };
        let zeros = |count: usize| vec![N::default(); count];
        Scratch {
            map: zeros(self.outputs * self.window.positions[0] * width),
            patches: zeros(self.window.patch() * self.rows() * width),
            image: zeros(image),
        }
    }

    /// `to ← U*(Kᵀ·from)`, where U* adds patches into an image.
    pub fn gradient<N: Number + ComplexField>(
        &self,
        kernel: MatRef<'_, N>,
        from: &[N],
        to: &mut [N],
        scratch: &mut Scratch<N>,
    ) {
        let (columns, width) = (self.window.positions[1], self.padded[1]);
        let lines = scratch.map.chunks_exact_mut(width).zip(from.chunks_exact(columns));
        lines.for_each(|(to, from)| to[..columns].copy_from_slice(from));
        if !self.is_padded() {
            return self.add(kernel, (&scratch.map, &mut scratch.patches), to);
        }
        self.add(kernel, (&scratch.map, &mut scratch.patches), &mut scratch.image);
        let ([height, of_image], [above, left]) = (self.window.image, self.window.padding);
        let images = scratch.image.chunks_exact(self.padded[0] * width);
        for (to, from) in to.chunks_exact_mut(height * of_image).zip(images) {
            let lines = from.chunks_exact(width).skip(above);
            for (to, from) in to.chunks_exact_mut(of_image).zip(lines) {
                to.copy_from_slice(&from[left..left + of_image]);
            }
        }
    }

    /// The image with its padding.
    fn add<N: Number + ComplexField>(
        &self,
        kernel: MatRef<'_, N>,
        (map, patches): (&[N], &mut [N]),
        to: &mut [N],
    ) {
        let Window { positions: [all, columns], dilation, kernel: [down, right], .. } = self.window;
        let ([height, width], patch) = (self.padded, self.window.patch());
        to.fill(N::default());
        for start in (0..all).step_by(self.rows()) {
            let rows = self.rows().min(all - start);
            let len = (rows - 1) * width + columns;
            let from = &map[start * width..];
            let from =
                MatRef::from_row_major_slice_with_stride(from, self.outputs, len, all * width);
            let patches = &mut patches[..patch * len];
            let product = MatMut::from_row_major_slice_mut(&mut *patches, patch, len);
            matmul(product, Accum::Replace, kernel.transpose(), from, N::of(1.0), Par::Seq);
            for (element, patches) in patches.chunks_exact(len).enumerate() {
                let (channel, i, j) =
                    (element / (down * right), element / right % down, element % right);
                let row = channel * height + start + i * dilation[0];
                let place = row * width + j * dilation[1];
                N::combine(Function::Add, &mut to[place..place + len], patches);
            }
        }
    }
}
