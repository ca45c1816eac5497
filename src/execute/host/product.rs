//! Matrix products written into memory that serves again, added to what is there, or added up over a batch. Of products of a
//! matrix with its transpose half is computed.
//!
//! The threads share the longer side of a large product, or the matrices of a batch.

use burn_backend::{DType, Shape};
use burn_flex::FlexTensor;
use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul, traits::ComplexField};
use rayon::prelude::*;

use super::{number::Number, symmetric};
use crate::{
    graph::{Graph, Node, Op, ValueId},
    parallel::are_busy,
};

/// Multiply-adds from which on a product is shared among threads.
const SHARED: usize = 1 << 19;

/// Parts of a batch whose products are added up on threads of their own. Not the number of threads, so that sums are the
/// same on every machine.
const PARTS: usize = 4;

/// Columns of a thread's part of a product are a multiple of this, so that kernels work at their full width.
const WIDTH: usize = 32;

/// `first · second` over the last two dimensions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Product {
    pub first: ValueId,
    pub second: ValueId,
    /// Another product that it is added to, which nothing else reads.
    pub onto: Option<ValueId>,
    /// Whether the products of the batch are added up.
    pub summed: bool,
    /// Whether one operand is the transpose of the other.
    pub symmetric: bool,
    pub result: ValueId,
    pub shape: Shape,
    /// Dimensions before the last two, the operands broadcast.
    pub batch: Vec<usize>,
    pub dtype: DType,
}

impl Product {
    /// The matrix product of a node, if it is one of f32 or f64 in as many dimensions on both sides.
    pub fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let (Op::Matmul, &[first, second], &[result]) =
            (&node.op, &node.inputs[..], &node.outputs[..])
        else {
            return None;
        };
        let ty = graph.value(result);
        let [x, y] = [first, second].map(|value| graph.value(value));
        let plain = matches!(ty.dtype, DType::F32 | DType::F64);
        let (&[ref batch @ .., rows, columns], &[ref of_x @ .., m, k], &[ref of_y @ .., l, n]) =
            (&ty.shape[..], &x.shape[..], &y.shape[..])
        else {
            return None;
        };
        let same = (of_x.len(), of_y.len()) == (batch.len(), batch.len());
        let broadcast = |(&all, (&one, &other)): (&usize, (&usize, &usize))| {
            all == one.max(other) && (one == all || one == 1) && (other == all || other == 1)
        };
        let fits = (rows, columns, k) == (m, n, l)
            && same
            && (ty.dtype, ty.dtype) == (x.dtype, y.dtype)
            && batch.iter().zip(of_x.iter().zip(of_y)).all(broadcast);
        (plain && fits).then(|| Self {
            first,
            second,
            onto: None,
            summed: false,
            symmetric: false,
            result,
            shape: ty.shape.clone(),
            batch: batch.to_vec(),
            dtype: ty.dtype,
        })
    }
}

/// A matrix in memory, or a batch of matrices.
struct Matrices<'a, N> {
    memory: &'a [N],
    rows: usize,
    columns: usize,
    /// Distance of rows, or of columns where the elements of a column are neighbors.
    stride: usize,
    by_rows: bool,
    /// Size and distance of the dimensions of the batch.
    batch: Vec<(usize, usize)>,
}

impl<'a, N: Number> Matrices<'a, N> {
    /// Those of a tensor in a batch of some dimensions, if neighbors in a row or in a column are neighbors in memory.
    fn new(tensor: &'a FlexTensor, batch: &[usize]) -> Option<Self> {
        let layout = tensor.layout();
        let (shape, strides) = (&layout.shape()[..], layout.strides());
        let rank = shape.len().checked_sub(2)?;
        if rank != batch.len() || strides.iter().any(|&stride| stride < 0) {
            return None;
        }
        let (rows, columns) = (shape[rank], shape[rank + 1]);
        let [down, right] = [strides[rank] as usize, strides[rank + 1] as usize];
        let (by_rows, stride) = if right == 1 || columns == 1 {
            (true, if rows == 1 { columns } else { down })
        } else {
            (false, right)
        };
        let plain =
            if by_rows { stride >= columns } else { (down == 1 || rows == 1) && stride >= rows };
        let own = shape.iter().zip(strides).zip(batch).map(|((&size, &stride), &all)| {
            let fits = size == all || size == 1;
            fits.then_some((all, if size == 1 { 0 } else { stride as usize }))
        });
        let batch = own.collect::<Option<Vec<_>>>()?;
        let memory = N::memory(tensor).get(layout.start_offset()..)?;
        plain.then_some(Self { memory, rows, columns, stride, by_rows, batch })
    }

    /// One matrix of the batch.
    fn at(&self, mut position: usize) -> MatRef<'a, N> {
        let mut offset = 0;
        for &(size, stride) in self.batch.iter().rev() {
            offset += position % size * stride;
            position /= size;
        }
        let memory = &self.memory[offset..];
        if self.by_rows {
            MatRef::from_row_major_slice_with_stride(memory, self.rows, self.columns, self.stride)
        } else {
            MatRef::from_column_major_slice_with_stride(
                memory,
                self.rows,
                self.columns,
                self.stride,
            )
        }
    }
}

/// Writes the product into a tensor, or adds it there. Returns whether the operands are such that it could, and nothing else
/// uses the tensor; otherwise nothing is changed.
pub(super) fn run(
    product: &Product,
    operands: [&FlexTensor; 2],
    (result, accum): (&mut FlexTensor, Accum),
) -> bool {
    let same = |tensor: &FlexTensor| tensor.dtype() == product.dtype;
    if !operands.iter().all(|tensor| same(tensor)) || !same(result) {
        return false;
    }
    let done = match product.dtype {
        DType::F32 => run_in::<f32>(product, operands, (result, accum)),
        DType::F64 => run_in::<f64>(product, operands, (result, accum)),
        _ => None,
    };
    done.is_some()
}

fn run_in<N: Number + ComplexField>(
    product: &Product,
    operands: [&FlexTensor; 2],
    (result, accum): (&mut FlexTensor, Accum),
) -> Option<()> {
    let &[.., rows, columns] = &product.shape[..] else { return None };
    let [first, second] = operands.map(|tensor| Matrices::<N>::new(tensor, &product.batch));
    let (first, second) = (first?, second?);
    let fits = (first.rows, first.columns, second.columns) == (rows, second.rows, columns);
    let in_order = result.is_contiguous();
    let to = N::memory_mut(result).filter(|_| in_order)?;
    let count: usize = product.batch.iter().product();
    let matrix = rows * columns;
    let len = if product.summed { matrix } else { count * matrix };
    if !fits || to.len() != len || count * matrix == 0 {
        return None;
    }
    let pair = |position| (first.at(position), second.at(position));
    let large = (count * matrix).saturating_mul(first.columns) >= SHARED;
    let shared = large && !are_busy();
    let threads = if shared { rayon::current_num_threads() } else { 1 };
    let symmetric = product.symmetric && product.onto.is_none() && rows == columns;
    if product.summed {
        summed(to, count, if large { PARTS } else { 1 }, (pair, symmetric));
    } else if symmetric && count == 1 {
        symmetric::upper(to, accum, pair(0), shared);
        symmetric::mirror(to, rows, shared);
    } else if count == 1 && shared && columns > rows {
        by_columns((to, accum), pair(0), threads);
    } else if count == 1 {
        let part = rows.div_ceil(threads);
        each(to, part * columns, shared, |index, to| {
            let (first, second) = pair(0);
            let (start, size) = (index * part, to.len() / columns);
            multiply(to, accum, first.subrows(start, size), second);
        });
    } else {
        let part = count.div_ceil(2 * threads);
        each(to, part * matrix, shared, |index, to| {
            for (position, to) in to.chunks_mut(matrix).enumerate() {
                let (first, second) = pair(index * part + position);
                if symmetric {
                    symmetric::upper(to, accum, (first, second), false);
                    symmetric::mirror(to, rows, false);
                } else {
                    multiply(to, accum, first, second);
                }
            }
        });
    }
    Some(())
}

/// One product whose columns the threads share. Each arranges the elements of its operands for the kernel, so that it is the
/// longer side that should be shared.
fn by_columns<N: Number + ComplexField>(
    (to, accum): (&mut [N], Accum),
    (first, second): (MatRef<'_, N>, MatRef<'_, N>),
    threads: usize,
) {
    let part = second.ncols().div_ceil(threads).next_multiple_of(WIDTH);
    let mut rest = MatMut::from_row_major_slice_mut(to, first.nrows(), second.ncols());
    let mut parts = Vec::with_capacity(threads);
    while rest.ncols() > part {
        let (next, others) = rest.split_at_col_mut(part);
        parts.push(next);
        rest = others;
    }
    parts.push(rest);
    parts.into_par_iter().enumerate().for_each(|(index, to)| {
        let second = second.subcols(index * part, to.ncols());
        matmul(to, accum, first, second, N::of(1.0), Par::Seq);
    });
}

/// The sum of the products of a batch: of each part of it, and then of the parts.
fn summed<'a, N: Number + ComplexField>(
    to: &mut [N],
    count: usize,
    parts: usize,
    (pair, symmetric): (impl Fn(usize) -> (MatRef<'a, N>, MatRef<'a, N>) + Sync, bool),
) {
    let part = count.div_ceil(parts);
    let mut others = vec![N::default(); (count.div_ceil(part) - 1) * to.len()];
    let size = to.len();
    let sums = std::iter::once(&mut *to).chain(others.chunks_mut(size));
    let sums: Vec<&mut [N]> = sums.collect();
    sums.into_par_iter().enumerate().for_each(|(index, to)| {
        for position in index * part..count.min((index + 1) * part) {
            let (first, second) = pair(position);
            let accum = if position == index * part { Accum::Replace } else { Accum::Add };
            if symmetric {
                symmetric::upper(to, accum, (first, second), false);
            } else {
                multiply(to, accum, first, second);
            }
        }
    });
    for other in others.chunks(size) {
        N::combine(super::chain::Function::Add, to, other);
    }
    if symmetric {
        symmetric::mirror(to, to.len().isqrt(), false);
    }
}

/// Parts of the result, on all threads if it is to be shared.
fn each<N: Number>(
    to: &mut [N],
    part: usize,
    shared: bool,
    work: impl Fn(usize, &mut [N]) + Sync + Send,
) {
    let work = |(index, to): (usize, &mut [N])| work(index, to);
    if shared && part < to.len() {
        to.par_chunks_mut(part).enumerate().for_each(work);
    } else {
        to.chunks_mut(part).enumerate().for_each(work);
    }
}

fn multiply<N: Number + ComplexField>(
    to: &mut [N],
    accum: Accum,
    first: MatRef<'_, N>,
    second: MatRef<'_, N>,
) {
    let to = MatMut::from_row_major_slice_mut(to, first.nrows(), second.ncols());
    matmul(to, accum, first, second, N::of(1.0), Par::Seq);
}
