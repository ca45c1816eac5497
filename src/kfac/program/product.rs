//! Products of matrices with themselves, of which half is enough. Independent of layers.

use std::ops::Range;

use burn_backend::{Backend, Shape, Slice, TensorMetadata, tensor::FloatTensor};

use super::rows::joined;

/// XᵀX for X `[groups, rows, width]`: the panels of some of its rows each, on and right of the diagonal. A single panel is the
/// whole matrix.
pub(super) fn panels<B: Backend>(x: &FloatTensor<B>, panels: usize) -> Vec<FloatTensor<B>> {
    let width = x.shape()[2];
    let product = |range: Range<usize>| {
        let rest = columns::<B>(x, range.start..width);
        let panel = columns::<B>(x, range);
        B::float_matmul(B::float_swap_dims(panel, 1, 2), rest)
    };
    ranges(width, panels).into_iter().map(product).collect()
}

/// The whole symmetric matrix M of its panels; `[[M, s], [sᵀ, 1]]` with a row s, `[groups, 1, width]`.
pub(super) fn whole<B: Backend>(
    panels: &[FloatTensor<B>],
    border: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let ranges = ranges(panels.first().map_or(0, |panel| panel.shape()[2]), panels.len());
    let turned = |part: FloatTensor<B>| B::float_swap_dims(part, 1, 2);
    let bands = ranges.iter().zip(panels).map(|(range, own)| {
        let above = panels.iter().zip(&ranges);
        let above = above.take_while(|(_, first)| first.start < range.start);
        let above = above.map(|(above, first)| {
            let part = range.start - first.start..range.end - first.start;
            turned(columns::<B>(above, part))
        });
        let behind = border.as_ref().map(|sums| turned(columns::<B>(sums, range.clone())));
        joined::<B>(above.chain([own.clone()]).chain(behind).collect(), 2)
    });
    let last = border.as_ref().map(|sums| {
        let one = Shape::from(vec![sums.shape()[0], 1, 1]);
        let one = B::float_ones(one, &sums.device(), sums.dtype().into());
        B::float_cat(vec![sums.clone(), one], 2)
    });
    joined::<B>(bands.chain(last).collect(), 1)
}

/// The rows of the panels.
fn ranges(width: usize, panels: usize) -> Vec<Range<usize>> {
    let cut = |panel: usize| width * panel / panels.max(1);
    (0..panels).map(|panel| cut(panel)..cut(panel + 1)).collect()
}

fn columns<B: Backend>(x: &FloatTensor<B>, range: Range<usize>) -> FloatTensor<B> {
    if range == (0..x.shape()[2]) {
        return x.clone();
    }
    B::float_slice(x.clone(), &[Slice::full(), Slice::full(), Slice::from(range)])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::backend::Flex;
    use burn_backend::{Shape, TensorData, ops::FloatTensorOps, read_sync, tensor::FloatTensor};

    use super::super::{rows::Rows, second_moment::Sum};
    use super::{panels, whole};

    const SIZES: [usize; 3] = [2, 7, 11];

    fn numbers(seed: usize) -> Vec<f64> {
        let count = SIZES.iter().product();
        let number = |i: usize| ((i * i + 3 * i + seed) as f64).sin();
        (0..count).map(number).collect()
    }

    fn tensor(numbers: &[f64]) -> FloatTensor<Flex> {
        let data = TensorData::new(numbers.to_vec(), SIZES);
        Flex::float_from_data(data, &Default::default())
    }

    fn read(found: FloatTensor<Flex>) -> Vec<f64> {
        let found = read_sync(Flex::float_into_data(found)).unwrap();
        found.iter::<f64>().collect()
    }

    /// Σ over matrices of factor·XᵀX against sums over their rows.
    fn check(found: FloatTensor<Flex>, matrices: &[Vec<f64>], factor: f64) {
        let [groups, rows, width] = SIZES;
        let found = read(found);
        assert_eq!(found.len(), groups * width * width);
        for (position, found) in found.into_iter().enumerate() {
            let (group, i, j) =
                (position / (width * width), position / width % width, position % width);
            let row = |row: usize| (group * rows + row) * width;
            let products = (0..rows).flat_map(|r| {
                let (i, j) = (row(r) + i, row(r) + j);
                matrices.iter().map(move |x| factor * x[i] * x[j])
            });
            let expected: f64 = products.sum();
            assert!((found - expected).abs() < 1e-13, "{group}, {i}, {j}");
        }
    }

    #[test]
    fn panels_make_the_whole_product() {
        let x = numbers(0);
        for count in [1, 3, 4] {
            let found = panels::<Flex>(&tensor(&x), count);
            assert_eq!(found.len(), count);
            check(whole::<Flex>(&found, None), std::slice::from_ref(&x), 1.0);
        }
    }

    #[test]
    fn rows_that_come_one_after_another_are_all_in_the_sum() {
        let [groups, rows, width] = SIZES;
        let both = [numbers(0), numbers(5)];
        for parts in [[0, 1, 7], [0, 6, 7]] {
            let mut sum = Sum::<Flex>::new(false);
            for x in &both {
                // `[groups, rows, width]` → `[rows, 1, groups, width]`
                let x = Flex::float_reshape(tensor(x), Shape::from(vec![groups, 1, rows, width]));
                let x = Rows::Rows(Flex::float_permute(x, &[2, 1, 0, 3]));
                parts.windows(2).for_each(|part| sum.add(x.narrowed(part[0]..part[1])));
            }
            check(sum.finish().unwrap(), &both, 1.0);
        }
    }

    #[test]
    fn a_border_is_the_product_with_a_column_of_ones() {
        let [groups, rows, width] = SIZES;
        let x = numbers(0);
        let sum = |group: usize, column: usize| -> f64 {
            let row = |row: usize| x[(group * rows + row) * width + column];
            (0..rows).map(row).sum()
        };
        let sums = (0..groups).flat_map(|group| (0..width).map(move |column| (group, column)));
        let sums: Vec<f64> = sums.map(|(group, column)| 0.5 * sum(group, column)).collect();
        let data = TensorData::new(sums.clone(), [groups, 1, width]);
        for count in [1, 4] {
            let product = panels::<Flex>(&tensor(&x), count);
            let inner = read(whole::<Flex>(&product, None));
            let border = Flex::float_from_data(data.clone(), &Default::default());
            let found = read(whole::<Flex>(&product, Some(border)));
            let mut inner = inner.into_iter();
            for (position, found) in found.into_iter().enumerate() {
                let whole = width + 1;
                let (group, i, j) =
                    (position / (whole * whole), position / whole % whole, position % whole);
                let expected = match (i == width, j == width) {
                    (true, true) => 1.0,
                    (true, false) => sums[group * width + j],
                    (false, true) => sums[group * width + i],
                    (false, false) => inner.next().unwrap(),
                };
                assert_eq!(found, expected, "{count}: {group}, {i}, {j}");
            }
        }
    }
}
