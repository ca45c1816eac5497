//! The patches of one image, copied out of it or added into it, some rows of positions at a time.

use std::ops::Range;

use faer::traits::pulp::{Arch, Simd, WithSimd};

use super::number::Number;

/// Sizes of a two-dimensional convolution of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub channels: usize,
    /// Height and width of the image.
    pub image: [usize; 2],
    /// Rows and columns of positions.
    pub positions: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Zeros above and to the left of the image.
    pub padding: [usize; 2],
}

impl Window {
    /// Elements of a patch.
    pub fn patch(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// The image's index along an axis under an element of the kernel at a position.
    fn index(&self, axis: usize, element: usize, position: usize) -> Option<usize> {
        let padded = position * self.stride[axis] + element * self.dilation[axis];
        padded.checked_sub(self.padding[axis]).filter(|&index| index < self.image[axis])
    }

    /// Positions in a row whose patches hold the image, not padding, at a column of the kernel.
    fn inside(&self, column: usize) -> Range<usize> {
        let (stride, shift) = (self.stride[1], column * self.dilation[1]);
        let first = self.padding[1].saturating_sub(shift).div_ceil(stride);
        let end = (self.image[1] + self.padding[1]).saturating_sub(shift).div_ceil(stride);
        first.min(self.positions[1])..end.clamp(first.min(self.positions[1]), self.positions[1])
    }

    /// Goes through some rows of positions in matrices `[patch, rows · columns]`: where each row starts
    /// there, and where in the image the first of its positions `inside` is, if the row meets the image.
    #[inline(always)]
    fn rows(&self, rows: Range<usize>, mut row: impl FnMut(usize, Range<usize>, Option<usize>)) {
        let ([height, width], columns) = (self.image, self.positions[1]);
        let mut at = 0;
        for channel in 0..self.channels {
            for i in 0..self.kernel[0] {
                for j in 0..self.kernel[1] {
                    let inside = self.inside(j);
                    let first = self.index(1, j, inside.start);
                    for position in rows.clone() {
                        let place = self
                            .index(0, i, position)
                            .zip(first)
                            .map(|(y, x)| (channel * height + y) * width + x);
                        row(at, inside.clone(), place);
                        at += columns;
                    }
                }
            }
        }
    }

    /// Copies the patches of some rows of positions out of an image.
    pub fn unfold<N: Number>(&self, image: &[N], rows: Range<usize>, to: &mut [N]) {
        let ([height, width], columns, [down, right]) =
            (self.image, self.positions[1], self.kernel);
        let elements = to.chunks_exact_mut(rows.len() * columns);
        for (element, to) in elements.enumerate() {
            let (channel, i, j) =
                (element / (down * right), element / right % down, element % right);
            let inside = self.inside(j);
            let first = self.index(1, j, inside.start).unwrap_or(0);
            for (position, to) in rows.clone().zip(to.chunks_exact_mut(columns)) {
                let y = self.index(0, i, position).filter(|_| !inside.is_empty());
                let Some(y) = y else {
                    to.fill(N::default());
                    continue;
                };
                let from = &image[(channel * height + y) * width + first..];
                if inside.len() < columns {
                    to[..inside.start].fill(N::default());
                    to[inside.end..].fill(N::default());
                }
                copy(&mut to[inside.clone()], from, self.stride[1]);
            }
        }
    }

    /// Adds the patches of some rows of positions into an image.
    pub fn fold<N: Number>(&self, from: &[N], rows: Range<usize>, image: &mut [N]) {
        Arch::new().dispatch(Fold { window: self, from, rows, image });
    }
}

/// Elements that are copied at once.
const WIDTH: usize = 8;

/// Copies every so many elements. A call to copy the few that rows have takes longer than to copy them.
#[inline(always)]
fn copy<N: Number>(to: &mut [N], from: &[N], stride: usize) {
    if stride > 1 {
        for (to, &from) in to.iter_mut().zip(from.iter().step_by(stride)) {
            *to = from;
        }
        return;
    }
    let from = &from[..to.len()];
    if let (Some(last), Some(end)) = (to.last_chunk_mut::<WIDTH>(), from.last_chunk()) {
        *last = *end;
    }
    let rows = from.as_chunks::<WIDTH>();
    for (to, from) in to.as_chunks_mut().0.iter_mut().zip(rows.0) {
        *to = *from;
    }
    if from.len() < WIDTH {
        to.copy_from_slice(from);
    }
}

/// Patches that are added into an image.
struct Fold<'a, N> {
    window: &'a Window,
    from: &'a [N],
    rows: Range<usize>,
    image: &'a mut [N],
}

impl<N: Number> WithSimd for Fold<'_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { window, from, rows, image } = self;
        let stride = window.stride[1];
        window.rows(
            rows,
            #[inline(always)]
            |at, inside, place| {
                let Some(place) = place.filter(|_| !inside.is_empty()) else { return };
                let from = &from[at + inside.start..at + inside.end];
                if stride == 1 {
                    N::add_few(simd, &mut image[place..place + from.len()], from);
                } else {
                    for (to, &from) in image[place..].iter_mut().step_by(stride).zip(from) {
                        *to += from;
                    }
                }
            },
        );
    }
}
