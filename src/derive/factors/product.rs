//! Products of matrices with themselves, of which half is enough. Knows nothing of layers.

use std::ops::Range;

use burn_backend::{Backend, Slice, TensorMetadata, tensor::FloatTensor};

/// XᵀX for X `[groups, rows, width]`: panel by panel what is on and right of the diagonal, and the rest by symmetry.
pub(super) fn symmetric<B: Backend>(x: FloatTensor<B>, panels: usize) -> FloatTensor<B> {
    let width = x.shape()[2];
    let cuts: Vec<usize> = (0..=panels)
        .map(|cut| width * cut / panels.max(1))
        .collect();
    let ranges: Vec<Range<usize>> = cuts.windows(2).map(|cut| cut[0]..cut[1]).collect();
    let mut right: Vec<FloatTensor<B>> = Vec::with_capacity(panels);
    let mut bands = Vec::with_capacity(panels);
    for range in &ranges {
        let panel = B::float_swap_dims(columns::<B>(&x, range.clone()), 1, 2);
        let rest = columns::<B>(&x, range.start..width);
        let own = B::float_matmul(panel, rest);
        let above = right.iter().zip(&ranges).map(|(above, first)| {
            let part = range.start - first.start..range.end - first.start;
            B::float_swap_dims(columns::<B>(above, part), 1, 2)
        });
        let band: Vec<_> = above.chain([own.clone()]).collect();
        bands.push(joined::<B>(band, 2));
        right.push(own);
    }
    joined::<B>(bands, 1)
}

fn joined<B: Backend>(mut parts: Vec<FloatTensor<B>>, dim: usize) -> FloatTensor<B> {
    match parts.len() {
        1 => parts.remove(0),
        _ => B::float_cat(parts, dim),
    }
}

fn columns<B: Backend>(x: &FloatTensor<B>, range: Range<usize>) -> FloatTensor<B> {
    B::float_slice(
        x.clone(),
        &[Slice::full(), Slice::full(), Slice::from(range)],
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::backend::Flex;
    use burn_backend::{TensorData, ops::FloatTensorOps, read_sync};

    use super::symmetric;

    #[test]
    fn panels_make_the_whole_product() {
        let [groups, rows, width] = [2, 7, 11];
        let numbers: Vec<f64> = (0..groups * rows * width)
            .map(|i| ((i * i + 3 * i) as f64).sin())
            .collect();
        let data = TensorData::new(numbers.clone(), [groups, rows, width]);
        for panels in [1, 3, 4] {
            let x = Flex::float_from_data(data.clone(), &Default::default());
            let found = read_sync(Flex::float_into_data(symmetric::<Flex>(x, panels))).unwrap();
            let found: Vec<f64> = found.iter::<f64>().collect();
            let at = |group: usize, row: usize, column: usize| {
                numbers[(group * rows + row) * width + column]
            };
            for group in 0..groups {
                for i in 0..width {
                    for j in 0..width {
                        let expected: f64 = (0..rows)
                            .map(|row| at(group, row, i) * at(group, row, j))
                            .sum();
                        let found = found[(group * width + i) * width + j];
                        assert!((found - expected).abs() < 1e-13, "{panels}: {i}, {j}");
                    }
                }
            }
        }
    }
}
