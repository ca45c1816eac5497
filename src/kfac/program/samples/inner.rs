//! Inner products of the gradients of samples with given matrices. Independent of layers.

use burn_backend::{Backend, Shape, TensorMetadata, tensor::FloatTensor};

use super::outer::{Left, Outer};
use crate::{
    kfac::program::rows::{Rows, dims},
    tensor::reshape,
};

/// Vectors from which a gradient is added up over its places first: one product with all of them then serves all places.
const MANY_VECTORS: usize = 3;

impl<B: Backend> Outer<B> {
    /// ⟨∇ₙ, S⟩ for matrices S `[vectors, groups, d_in, d_out]`: `[samples, vectors]`.
    pub fn inner(&self, matrices: &FloatTensor<B>) -> FloatTensor<B> {
        let [vectors, groups, d_in, d_out] = dims(matrices);
        let places = self.right.sizes()[1];
        match &self.left {
            Left::Rows(_) if places > 1 && vectors >= MANY_VECTORS => {
                self.in_chunks(groups * d_in * d_out, |some| some.by_sample(matrices))
            }
            Left::Rows(_) => {
                let held = places * groups * vectors * d_in.min(d_out);
                self.in_chunks(held, |some| some.by_place(matrices))
            }
            Left::Indices(_) => {
                self.in_chunks(places * vectors * d_out, |some| some.by_place(matrices))
            }
        }
    }

    /// Σ over places of ⟨a S, g⟩, or of ⟨a, g Sᵀ⟩ where that is smaller.
    fn by_place(&self, matrices: &FloatTensor<B>) -> FloatTensor<B> {
        let [vectors, groups, d_in, d_out] = dims(matrices);
        let matrices = matrices.clone();
        match &self.left {
            Left::Indices(indices) => {
                let table = B::float_permute(matrices, &[1, 2, 0, 3]);
                let table = reshape::<B>(table, &[d_in, vectors * d_out]);
                let flat = Shape::from([indices.shape().num_elements()]);
                let rows = B::float_select(table, 0, B::int_reshape(indices.clone(), flat));
                contracted(rows, vectors, &self.right)
            }
            Left::Rows(a) if d_in < d_out => {
                let matrices = B::float_permute(matrices, &[1, 3, 0, 2]);
                let matrices = reshape::<B>(matrices, &[groups, d_out, vectors * d_in]);
                contracted(B::float_matmul(self.right.by_group(), matrices), vectors, a)
            }
            Left::Rows(a) => {
                let matrices = B::float_permute(matrices, &[1, 2, 0, 3]);
                let matrices = reshape::<B>(matrices, &[groups, d_in, vectors * d_out]);
                contracted(B::float_matmul(a.by_group(), matrices), vectors, &self.right)
            }
        }
    }

    /// ⟨Σ over places of a gᵀ, S⟩.
    fn by_sample(&self, matrices: &FloatTensor<B>) -> FloatTensor<B> {
        let [vectors, groups, d_in, d_out] = dims(matrices);
        let Left::Rows(a) = &self.left else {
            return self.by_place(matrices);
        };
        let elements = groups * d_in * d_out;
        let samples = self.right.sizes()[0];
        let gradients = reshape::<B>(a.products(&self.right), &[samples, elements]);
        let matrices = reshape::<B>(matrices.clone(), &[vectors, elements]);
        B::float_matmul(gradients, B::float_swap_dims(matrices, 0, 1))
    }
}

/// Σ over groups, places and width of rows `[groups, samples·places, vectors·width]` times others: `[samples, vectors]`.
fn contracted<B: Backend>(
    rows: FloatTensor<B>,
    vectors: usize,
    others: &Rows<B>,
) -> FloatTensor<B> {
    let [samples, places, groups, width] = others.sizes();
    let count = samples * places;
    let rows = reshape::<B>(rows, &[groups, count, vectors, width]);
    let others = reshape::<B>(others.by_group(), &[groups, count, 1, width]);
    let sums = B::float_sum_dim(B::float_mul(rows, others), 3);
    let sums = reshape::<B>(sums, &[groups, samples, places, vectors]);
    reshape::<B>(B::float_sum_dim(B::float_sum_dim(sums, 2), 0), &[samples, vectors])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::backend::Flex;
    use burn_backend::{TensorData, ops::FloatTensorOps, ops::IntTensorOps, read_sync};

    use super::{Left, Outer, Rows};

    const SAMPLES: usize = 5;
    const PLACES: usize = 3;

    fn tensor<const D: usize>(shape: [usize; D], seed: usize) -> super::FloatTensor<Flex> {
        let values: Vec<f64> =
            (0..shape.iter().product()).map(|i| ((i * i + 3 * i + seed) as f64).sin()).collect();
        Flex::float_from_data(TensorData::new(values, shape), &Default::default())
    }

    fn read(found: super::FloatTensor<Flex>) -> Vec<f64> {
        read_sync(Flex::float_into_data(found)).unwrap().iter::<f64>().collect()
    }

    /// Sample by sample, two at a time, and all at once.
    #[test]
    fn chunks_of_samples_are_put_together() {
        let indices: Vec<i64> = (0..SAMPLES * PLACES).map(|i| (i * 7 % 4) as i64).collect();
        let indices = TensorData::new(indices, [SAMPLES, PLACES]);
        let indices = Flex::int_from_data(indices, &Default::default());
        let rows = Rows::<Flex>::Rows(tensor([SAMPLES, PLACES, 1, 4], 1));
        for left in [Left::Rows(rows), Left::Indices(indices)] {
            let right = Rows::Rows(tensor([SAMPLES, PLACES, 1, 3], 2));
            let outer = Outer { left, right };
            let matrices = tensor([2, 1, 4, 3], 3);
            let whole = read(outer.by_place(&matrices));
            assert_eq!(whole.len(), SAMPLES * 2);
            for held in [usize::MAX, 1 << 21, 1] {
                let found = outer.in_chunks(held, |some| some.by_place(&matrices));
                assert_eq!(read(found), whole, "{held}");
                let found = read(outer.in_chunks(held, |some| some.by_sample(&matrices)));
                let pairs = found.iter().zip(&whole);
                assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-13), "{held}");
            }
        }
    }
}
