//! Ways to take a batch apart along its samples, and to put two batches together.

use std::ops::Range;

use burn_backend::{AutodiffBackend, Backend, Slice};

use crate::{derive::BatchAxes, objective::batches::Counted, tensor::Operand};

/// Which dimension of each tensor of a batch counts its samples.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cut {
    pub samples: usize,
    dims: Vec<Option<usize>>,
}

/// A batch and the two parts it is made of.
pub(super) struct Pieces<B: AutodiffBackend> {
    pub whole: Counted<B>,
    pub parts: [Counted<B>; 2],
    /// Samples of each part.
    pub samples: [usize; 2],
}

/// How unlikely a tensor is to be left whole, compared with one of its dimensions.
const WHOLE: usize = 4;

/// How many cuts are tried for one number of samples.
const MOST_CUTS: usize = 8;

impl Cut {
    /// The cuts worth trying, the most likely first: along the first dimensions of that size, along others, and with some
    /// tensors left whole. The size is that which the batch states, or that of the first tensor's first dimension; failing
    /// that, of any tensor's first two dimensions.
    pub fn all<B: AutodiffBackend>(batch: &Counted<B>) -> Vec<Self> {
        let shapes: Vec<Vec<usize>> =
            batch.operands.iter().map(|operand| operand.shape().to_vec()).collect();
        let mut sizes = vec![batch.samples];
        if !batch.supplied {
            for dim in 0..2 {
                let others = shapes.iter().filter_map(|shape| shape.get(dim).copied());
                sizes.extend(others.filter(|&size| size > 1));
            }
        }
        let mut cuts: Vec<Self> = Vec::new();
        for samples in sizes {
            if cuts.iter().all(|cut| cut.samples != samples) {
                cuts.extend(Self::of_size(samples, &shapes));
            }
        }
        cuts
    }

    /// The cuts for a number of samples.
    fn of_size(samples: usize, shapes: &[Vec<usize>]) -> Vec<Self> {
        let mut cuts = vec![Vec::new()];
        for shape in shapes {
            let dims = (0..shape.len()).filter(|&dim| shape[dim] == samples).map(Some);
            let options: Vec<_> = dims.chain([None]).collect();
            let longer = cuts.iter().flat_map(|cut: &Vec<Option<usize>>| {
                options.iter().map(|option| cut.iter().copied().chain([*option]).collect())
            });
            cuts = longer.collect();
            cuts.sort_by_key(|cut| {
                cut.iter().map(|dim| dim.map_or(WHOLE, |dim| dim)).sum::<usize>()
            });
            cuts.truncate(MOST_CUTS);
        }
        // A tensor without a dimension of that size is whole in any case.
        cuts.retain(|cut| cut.iter().any(Option::is_some));
        cuts.into_iter().map(|dims| Self { samples, dims }).collect()
    }

    /// How many tensors are not cut.
    pub fn left_whole(&self) -> usize {
        self.dims.iter().filter(|dim| dim.is_none()).count()
    }

    /// Whether this is another cut with some of its tensors left whole.
    pub fn is_part_of(&self, other: &Self) -> bool {
        let mut dims = self.dims.iter().zip(&other.dims);
        self.samples == other.samples && dims.all(|(own, other)| own.is_none() || own == other)
    }

    /// Where the samples of a program's batch are.
    pub fn axes(&self, inputs: Range<usize>) -> BatchAxes<'_> {
        BatchAxes { inputs, samples: self.samples, dims: &self.dims }
    }

    /// The batch with its samples in another order.
    pub fn ordered<B: AutodiffBackend>(&self, batch: &Counted<B>, order: &[usize]) -> Counted<B> {
        let operands = batch.operands.iter().cloned().zip(&self.dims);
        let operands = operands.map(|(operand, dim)| match dim {
            Some(dim) => picked(&operand, *dim, order),
            None => operand,
        });
        Counted { operands: operands.collect(), ..batch.clone() }
    }

    /// The halves of a batch; for a single sample, the batch and another one put together.
    pub fn pieces<B: AutodiffBackend>(&self, batch: &Counted<B>, other: &Counted<B>) -> Pieces<B> {
        let n = self.samples;
        if n > 1 {
            let part = |range: Range<usize>| self.part(batch, range);
            let parts = [part(0..n / 2), part(n / 2..n)];
            return Pieces { whole: batch.clone(), parts, samples: [n / 2, n - n / 2] };
        }
        let fits = batch.structure == other.structure
            && batch.operands.iter().zip(&other.operands).all(|(a, b)| a.shape() == b.shape());
        let other = if fits { other } else { batch };
        let parts = [batch.clone(), other.clone()];
        Pieces { whole: self.joined(batch, other), parts, samples: [1, 1] }
    }

    fn part<B: AutodiffBackend>(&self, batch: &Counted<B>, range: Range<usize>) -> Counted<B> {
        let operands = batch.operands.iter().cloned().zip(&self.dims);
        let operands = operands.map(|(operand, dim)| match dim {
            Some(dim) => slice(operand, &along(*dim, range.clone())),
            None => operand,
        });
        Counted { operands: operands.collect(), samples: range.len(), ..batch.clone() }
    }

    fn joined<B: AutodiffBackend>(&self, batch: &Counted<B>, other: &Counted<B>) -> Counted<B> {
        let pairs = batch.operands.iter().cloned().zip(other.operands.iter().cloned());
        let operands = pairs.zip(&self.dims).map(|((one, other), dim)| match dim {
            Some(dim) => cat(vec![one, other], *dim),
            None => one,
        });
        let samples = batch.samples + other.samples;
        Counted { operands: operands.collect(), samples, ..batch.clone() }
    }
}

fn slice<B: Backend>(operand: Operand<B>, slices: &[Slice]) -> Operand<B> {
    match operand {
        Operand::Float(tensor) => Operand::Float(B::float_slice(tensor, slices)),
        Operand::Int(tensor) => Operand::Int(B::int_slice(tensor, slices)),
        Operand::Bool(tensor) => Operand::Bool(B::bool_slice(tensor, slices)),
    }
}

fn along(dim: usize, range: Range<usize>) -> Vec<Slice> {
    let mut slices = vec![Slice::full(); dim];
    slices.push(Slice::from(range));
    slices
}

/// Some indices of a dimension, one after the other.
fn picked<B: Backend>(operand: &Operand<B>, dim: usize, indices: &[usize]) -> Operand<B> {
    let one = |&index: &usize| slice(operand.clone(), &along(dim, index..index + 1));
    cat(indices.iter().map(one).collect(), dim)
}

/// Operands of one kind put together.
fn cat<B: Backend>(operands: Vec<Operand<B>>, dim: usize) -> Operand<B> {
    let (mut floats, mut ints, mut bools) = (Vec::new(), Vec::new(), Vec::new());
    for operand in operands {
        match operand {
            Operand::Float(tensor) => floats.push(tensor),
            Operand::Int(tensor) => ints.push(tensor),
            Operand::Bool(tensor) => bools.push(tensor),
        }
    }
    if !floats.is_empty() {
        Operand::Float(B::float_cat(floats, dim))
    } else if !ints.is_empty() {
        Operand::Int(B::int_cat(ints, dim))
    } else {
        Operand::Bool(B::bool_cat(bools, dim))
    }
}
