//! Products of matrices with themselves, of which half is enough. Knows nothing of layers.

use std::ops::Range;

use burn_backend::{Backend, Shape, Slice, TensorMetadata, tensor::FloatTensor};

/// A symmetric matrix for each group: stored panel by panel, on and right of the diagonal.
pub(super) struct Symmetric<B: Backend> {
    width: usize,
    /// Of rows as [`ranges`] has them, each from its own diagonal on; a single one is the whole matrix.
    panels: Vec<FloatTensor<B>>,
}

impl<B: Backend> Symmetric<B> {
    /// A matrix as it is, `[groups, width, width]`.
    pub fn whole(matrix: FloatTensor<B>) -> Self {
        Self { width: matrix.shape()[2], panels: vec![matrix] }
    }

    /// XᵀY for X and Y `[groups, rows, width]` that differ by a factor, in the given number of panels.
    pub fn product(x: &FloatTensor<B>, y: &FloatTensor<B>, panels: usize) -> Self {
        let width = x.shape()[2];
        let product = |range: Range<usize>| {
            let rest = columns::<B>(y, range.start..width);
            let panel = columns::<B>(x, range);
            B::float_matmul(B::float_swap_dims(panel, 1, 2), rest)
        };
        Self { width, panels: ranges(width, panels).into_iter().map(product).collect() }
    }

    /// The sum with another matrix of this width.
    pub fn add(self, other: Self) -> Self {
        if self.panels.len() != other.panels.len() {
            return Self::whole(B::float_add(self.finish(), other.finish()));
        }
        let pairs = self.panels.into_iter().zip(other.panels);
        Self { width: self.width, panels: pairs.map(|(a, b)| B::float_add(a, b)).collect() }
    }

    /// The matrix times a number.
    pub fn scaled(self, factor: f64) -> Self {
        if factor == 1.0 {
            return self;
        }
        let panels = self.panels.into_iter();
        let panels = panels.map(|panel| B::float_mul_scalar(panel, factor.into()));
        Self { width: self.width, panels: panels.collect() }
    }

    /// The whole matrix; the part left of the diagonal follows by symmetry.
    pub fn finish(self) -> FloatTensor<B> {
        joined::<B>(self.bands(|_| None), 1)
    }

    /// `[[M, s], [sᵀ, 1]]` for a row s, `[groups, 1, width]`.
    pub fn bordered(self, sums: FloatTensor<B>) -> FloatTensor<B> {
        let column = |rows| B::float_swap_dims(columns::<B>(&sums, rows), 1, 2);
        let mut bands = self.bands(|rows| Some(column(rows)));
        let one = Shape::from(vec![sums.shape()[0], 1, 1]);
        let one = B::float_ones(one, &sums.device(), sums.dtype().into());
        bands.push(B::float_cat(vec![sums, one], 2));
        joined::<B>(bands, 1)
    }

    /// All rows, panel by panel, with what stands behind them.
    fn bands(
        &self,
        behind: impl Fn(Range<usize>) -> Option<FloatTensor<B>>,
    ) -> Vec<FloatTensor<B>> {
        let ranges = ranges(self.width, self.panels.len());
        let bands = ranges.iter().zip(&self.panels).map(|(range, own)| {
            let above = self.panels.iter().zip(&ranges);
            let above = above.take_while(|(_, first)| first.start < range.start);
            let above = above.map(|(above, first)| {
                let part = range.start - first.start..range.end - first.start;
                B::float_swap_dims(columns::<B>(above, part), 1, 2)
            });
            let band = above.chain([own.clone()]).chain(behind(range.clone()));
            joined::<B>(band.collect(), 2)
        });
        bands.collect()
    }
}

/// The rows of the panels.
fn ranges(width: usize, panels: usize) -> Vec<Range<usize>> {
    let cut = |panel: usize| width * panel / panels.max(1);
    (0..panels).map(|panel| cut(panel)..cut(panel + 1)).collect()
}

fn joined<B: Backend>(mut parts: Vec<FloatTensor<B>>, dim: usize) -> FloatTensor<B> {
    match parts.len() {
        1 => parts.remove(0),
        _ => B::float_cat(parts, dim),
    }
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
    use burn_backend::{TensorData, ops::FloatTensorOps, read_sync, tensor::FloatTensor};

    use super::Symmetric;

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
    fn check(found: Symmetric<Flex>, matrices: &[Vec<f64>], factor: f64) {
        let [groups, rows, width] = SIZES;
        let found = read(found.finish());
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
        for panels in [1, 3, 4] {
            let scaled = tensor(&x.iter().map(|x| 0.5 * x).collect::<Vec<_>>());
            let found = Symmetric::<Flex>::product(&scaled, &tensor(&x), panels);
            check(found, std::slice::from_ref(&x), 0.5);
        }
    }

    #[test]
    fn sums_of_panels_are_panels_of_sums() {
        let both = [numbers(0), numbers(5)];
        for panels in [[4, 4], [1, 1], [3, 4], [1, 4]] {
            let [a, b] = [0, 1].map(|i| {
                let x = tensor(&both[i]);
                Symmetric::<Flex>::product(&x, &x, panels[i])
            });
            check(a.add(b), &both, 1.0);
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
        for panels in [1, 4] {
            let product = || Symmetric::<Flex>::product(&tensor(&x), &tensor(&x), panels);
            let inner = read(product().scaled(0.5).finish());
            let border = Flex::float_from_data(data.clone(), &Default::default());
            let found = read(product().scaled(0.5).bordered(border));
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
                assert_eq!(found, expected, "{panels}: {group}, {i}, {j}");
            }
        }
    }
}
