//! The elements of a tensor in the order of a shape that it is broadcast to.

use burn_backend::Shape;
use burn_flex::{FlexTensor, Layout};

use super::number::{Number, fill, repeat};

/// Dimensions of a tensor that is walked through, at most.
pub(super) const MOST: usize = 8;

/// The elements of a tensor, one after another.
pub(super) enum Elements<'a, N> {
    /// As they lie in memory.
    Dense(&'a [N]),
    /// One number everywhere.
    Uniform(N),
    /// With repetitions or gaps.
    Strided(Walk<'a, N>),
}

impl<'a, N: Number> Elements<'a, N> {
    /// Whether they can be read where they are.
    pub fn is_dense(&self) -> bool {
        matches!(self, Self::Dense(_))
    }

    /// Those of a tensor broadcast to a shape. `None` if its rows must be copied first, see [`rows`].
    pub fn new(tensor: &'a FlexTensor, shape: &Shape) -> Option<Self> {
        let memory = N::memory(tensor);
        if tensor.layout().shape() == shape
            && let Some((start, end)) = tensor.layout().contiguous_offsets()
        {
            return memory.get(start..end).map(Self::Dense);
        }
        let axes = joined(tensor.layout(), shape)?;
        let offset = tensor.layout().start_offset();
        match *axes.as_slice() {
            [] | [Axis { stride: 0, .. }] => memory.get(offset).copied().map(Self::Uniform),
            [Axis { size, stride: 1 }] => memory.get(offset..offset + size).map(Self::Dense),
            [.., Axis { stride: 0 | 1, .. }] => {
                Some(Self::Strided(Walk { memory: memory.get(offset..)?, axes }))
            }
            _ => None,
        }
    }
}

/// Elements with repetitions or gaps.
pub(super) struct Walk<'a, N> {
    memory: &'a [N],
    /// The last has stride 0 or 1.
    axes: Axes,
}

/// A few axes, the outermost first.
struct Axes {
    all: [Axis; MOST],
    count: usize,
}

impl Axes {
    fn as_slice(&self) -> &[Axis] {
        &self.all[..self.count]
    }
}

/// Steps along one dimension, or along several that are one in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Axis {
    size: usize,
    stride: usize,
}

impl<N: Number> Walk<'_, N> {
    /// Copies a part of a row, or its one element.
    fn load_row(&self, (from, stride): (usize, usize), to: &mut [N]) {
        if stride == 1 {
            to.copy_from_slice(&self.memory[from..][..to.len()]);
        } else if !to.is_empty() {
            fill(to, self.memory[from]);
        }
    }

    /// Copies the elements from position `start` on.
    pub fn load(&self, start: usize, to: &mut [N]) {
        let Some((&Axis { size, stride }, outer)) = self.axes.as_slice().split_last() else {
            return;
        };
        let one = Axis { size: 1, stride: 0 };
        let (&Axis { size: rows, stride: step }, outer) = outer.split_last().unwrap_or((&one, &[]));
        let (mut within, mut row, mut rest) =
            (start % size, start / size % rows, start / size / rows);
        let mut index = [0; MOST];
        for (index, axis) in index.iter_mut().zip(outer).rev() {
            *index = rest % axis.size;
            rest /= axis.size;
        }
        let mut filled = 0;
        while filled < to.len() {
            let base: usize =
                index.iter().zip(outer).map(|(index, axis)| index * axis.stride).sum();
            if step == 0 && within == 0 && row < rows {
                // The same row again and again: copies that grow.
                let count = ((to.len() - filled) / size).min(rows - row);
                self.load_row((base, stride), &mut to[filled..filled + size.min(count * size)]);
                repeat(&mut to[filled..filled + count * size], size);
                (filled, row) = (filled + count * size, row + count);
            }
            while row < rows && filled < to.len() {
                let from = base + row * step + within * stride;
                let end = to.len().min(filled + size - within);
                self.load_row((from, stride), &mut to[filled..end]);
                (filled, within, row) = (end, 0, row + 1);
            }
            row = 0;
            for (index, axis) in index.iter_mut().zip(outer).rev() {
                *index += 1;
                if *index < axis.size {
                    break;
                }
                *index = 0;
            }
        }
    }
}

/// A tensor whose elements can be walked through by rows: itself, or a copy. `None` if neither can.
pub(super) fn rows(tensor: &FlexTensor, shape: &Shape) -> Option<FlexTensor> {
    if are_rows(tensor, shape) {
        return Some(tensor.clone());
    }
    Some(tensor.to_contiguous()).filter(|copy| are_rows(copy, shape))
}

/// Whether the elements of a tensor can be walked through by rows; otherwise they must be copied first.
pub(super) fn are_rows(tensor: &FlexTensor, shape: &Shape) -> bool {
    let axes = joined(tensor.layout(), shape);
    axes.is_some_and(|axes| axes.as_slice().last().is_none_or(|axis| axis.stride <= 1))
}

/// The dimensions of a shape that a layout is broadcast to, joined where they are one in memory. `None` for a tensor that
/// runs backwards, or has too many dimensions.
fn joined(layout: &Layout, shape: &Shape) -> Option<Axes> {
    let missing = shape.num_dims().checked_sub(layout.num_dims())?;
    let mut axes = Axes { all: [Axis::default(); MOST], count: 0 };
    for (position, &size) in shape.iter().enumerate() {
        if size == 1 {
            continue;
        }
        let stride = match position.checked_sub(missing) {
            Some(own) if layout.shape()[own] == size => layout.strides()[own],
            Some(own) if layout.shape()[own] != 1 => return None,
            _ => 0,
        };
        let stride = usize::try_from(stride).ok()?;
        match axes.all[..axes.count].last_mut() {
            Some(outer) if outer.stride == stride * size => {
                *outer = Axis { size: outer.size * size, stride };
            }
            _ => {
                *axes.all.get_mut(axes.count)? = Axis { size, stride };
                axes.count += 1;
            }
        }
    }
    Some(axes)
}

#[cfg(test)]
mod tests {
    use burn_backend::{Shape, TensorData};
    use burn_flex::FlexTensor;

    use super::{Elements, rows};

    /// Every block of a walk holds what the expanded tensor holds there.
    #[test]
    fn a_walk_repeats_what_is_broadcast() {
        let tensor = |shape: &[usize]| {
            let count: usize = shape.iter().product();
            let data: Vec<f32> = (0..count).map(|i| i as f32).collect();
            FlexTensor::from_data(TensorData::new(data, shape.to_vec()))
        };
        let cases = [
            (tensor(&[3, 4]), vec![3, 4]),
            (tensor(&[1]), vec![3, 4]),
            (tensor(&[1, 4]), vec![3, 4]),
            (tensor(&[4]), vec![2, 3, 4]),
            (tensor(&[3, 1]), vec![3, 4]),
            (tensor(&[1, 3, 1, 1]), vec![2, 3, 2, 5]),
            (tensor(&[2, 1, 3, 1]), vec![2, 4, 3, 5]),
            (tensor(&[4, 3]).transpose(0, 1), vec![3, 4]),
            (tensor(&[4, 3, 2]).transpose(0, 1), vec![3, 4, 2]),
            (tensor(&[5, 4]).narrow(0, 1, 3), vec![3, 4]),
            (tensor(&[3, 7]).narrow(1, 2, 4), vec![3, 4]),
        ];
        for (tensor, shape) in cases {
            let shape = Shape::from(shape);
            let expanded = burn_flex::ops::expand::expand(tensor.clone(), shape.clone());
            let expected: Vec<f32> = expanded.into_data().iter().collect();
            let tensor = rows(&tensor, &shape).expect("a plain tensor");
            let elements = Elements::<f32>::new(&tensor, &shape).expect("rows");
            for start in 0..expected.len() {
                for end in start + 1..=expected.len() {
                    let mut found = vec![-1.0; end - start];
                    match &elements {
                        Elements::Dense(all) => found.copy_from_slice(&all[start..end]),
                        Elements::Uniform(number) => found.fill(*number),
                        Elements::Strided(walk) => walk.load(start, &mut found),
                    }
                    assert_eq!(found, expected[start..end], "{shape:?} {start}..{end}");
                }
            }
        }
    }
}
