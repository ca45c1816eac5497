//! The matrix products of a program alone: by the same kernel, on all threads, with operands and results in memory that stays.
//! What a product with a vector takes beyond this is everything else. Convolutions that are no matrix products are left out.

use burn_curvature::program::Graph;
use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use rayon::prelude::*;

use crate::listing::{Operation, operations};

/// Multiply-adds from which on a product is shared among threads.
const SHARED: usize = 1 << 19;

/// The products of one program.
pub struct Floor(Vec<Product>);

/// `first · second` for each matrix of a batch; an operand with a single matrix serves all of them.
struct Product {
    batch: usize,
    /// Rows, inner dimension, columns.
    extents: [usize; 3],
    first: Vec<f32>,
    second: Vec<f32>,
    result: Vec<f32>,
}

impl Floor {
    /// Those in the listing of a program.
    pub fn of(program: &Graph) -> Self {
        let operations = operations(program).into_iter();
        let products = operations.filter(|operation| operation.name == "Matmul");
        let product = |Operation { operands, .. }| match &operands[..] {
            [first, second] => Product::new(first, second),
            _ => None,
        };
        Self(products.filter_map(product).collect())
    }

    /// Runs them once.
    pub fn run(&mut self) {
        let products = &mut self.0;
        rayon::scope(|_| products.iter_mut().for_each(Product::run));
    }
}

impl Product {
    fn new(first: &[usize], second: &[usize]) -> Option<Self> {
        let (&[ref of_first @ .., rows, inner], &[ref of_second @ .., _, columns]) =
            (first, second)
        else {
            return None;
        };
        let counts = [of_first, of_second].map(|batch| batch.iter().product::<usize>());
        let numbers = |count: usize| (0..count).map(|i| (i % 7) as f32 - 3.0).collect();
        let batch = counts[0].max(counts[1]);
        Some(Self {
            batch,
            extents: [rows, inner, columns],
            first: numbers(counts[0] * rows * inner),
            second: numbers(counts[1] * inner * columns),
            result: numbers(batch * rows * columns),
        })
    }

    fn run(&mut self) {
        let [rows, inner, columns] = self.extents;
        let shared = self.batch * rows * inner * columns >= SHARED;
        let (one, other) = (self.first.chunks(rows * inner), self.second.chunks(inner * columns));
        let pairs: Vec<_> = one.cycle().zip(other.cycle()).take(self.batch).collect();
        let results = self.result.chunks_mut(rows * columns).zip(pairs);
        let each = |(to, (first, second)): (&mut [f32], (&[f32], &[f32]))| {
            let first = MatRef::from_row_major_slice(first, rows, inner);
            let second = MatRef::from_row_major_slice(second, inner, columns);
            let to = MatMut::from_row_major_slice_mut(to, rows, columns);
            if self.batch == 1 && shared {
                halves(to, first, second, rayon::current_num_threads());
            } else {
                matmul(to, Accum::Replace, first, second, 1.0, Par::Seq);
            }
        };
        if shared {
            results.collect::<Vec<_>>().into_par_iter().for_each(each);
        } else {
            results.for_each(each);
        }
    }
}

/// One product whose longer side the threads share.
fn halves(to: MatMut<'_, f32>, first: MatRef<'_, f32>, second: MatRef<'_, f32>, threads: usize) {
    if threads < 2 {
        return matmul(to, Accum::Replace, first, second, 1.0, Par::Seq);
    }
    let (left, right) = (threads / 2, threads - threads / 2);
    if to.ncols() > to.nrows() {
        let at = to.ncols() * left / threads / 32 * 32;
        let ((one, other), (b, d)) = (to.split_at_col_mut(at), second.split_at_col(at));
        rayon::join(|| halves(one, first, b, left), || halves(other, first, d, right));
    } else {
        let at = to.nrows() * left / threads;
        let ((one, other), (a, c)) = (to.split_at_row_mut(at), first.split_at_row(at));
        rayon::join(|| halves(one, a, second, left), || halves(other, c, second, right));
    }
}
