//! Vectors in messages: sums of those of all ranks, and vectors of the data, of which each rank has the blocks of its batches.

use burn_backend::AutodiffBackend;

use super::{
    Call, Extent,
    message::{Contribution, Sent},
};
use crate::{
    error::Error,
    objective::{Objective, ObjectiveError},
    space::{InnerFloat, ParamSpace, ParamVector},
};

/// Numbers, and vectors of a space.
type Sums<V> = (Vec<f64>, Vec<V>);

/// What a call is, and the vectors that it depends on.
type Asked<'a, B> = (Call, &'a [ParamVector<B>]);

impl<B: AutodiffBackend> Objective<B> {
    /// The sums of numbers and of vectors of a space. Collective.
    #[inline(never)]
    pub(crate) fn summed_vectors(
        &self,
        space: &ParamSpace<B>,
        asked: Asked<'_, B>,
        (numbers, results): (usize, usize),
        own: Result<Sums<Option<ParamVector<B>>>, Error>,
    ) -> Result<Sums<ParamVector<B>>, Error> {
        if !self.is_shared() {
            let (numbers, sums) = own?;
            let sums: Option<Vec<_>> = sums.into_iter().collect();
            return Ok((numbers, sums.ok_or(ObjectiveError::NoBatches)?));
        }
        let blocks = space.layout().blocks().len();
        let found = own.map(|(numbers, sums)| {
            let tensors = sums.into_iter().flat_map(|sum| match sum {
                Some(sum) => sum.into_blocks().into_iter().map(Some).collect(),
                None => vec![None; blocks],
            });
            Contribution { numbers, tensors: tensors.collect() }
        });
        let found = self.summed(|| sent(space, asked, (numbers, results)), found)?;
        Ok((found.numbers, taken(space, results, found.tensors)?))
    }

    /// Vectors of the data, whole on every rank, from the blocks of this rank's batches. Collective.
    #[inline(never)]
    pub(crate) fn by_batch(
        &self,
        space: &ParamSpace<B>,
        asked: Asked<'_, B>,
        results: usize,
        own: Result<Vec<Vec<InnerFloat<B>>>, Error>,
    ) -> Result<Vec<ParamVector<B>>, Error> {
        if !self.is_shared() {
            return own?.into_iter().map(|blocks| Ok(space.from_blocks(blocks)?)).collect();
        }
        let (blocks, first) = (space.layout().blocks().len(), self.first_block());
        let placed = |own: Vec<InnerFloat<B>>| {
            let mut all = vec![None; blocks];
            let places = all.iter_mut().skip(first);
            places.zip(own).for_each(|(place, block)| *place = Some(block));
            all
        };
        let found = own.map(|own| Contribution {
            numbers: Vec::new(),
            tensors: own.into_iter().flat_map(placed).collect(),
        });
        let found = self.summed(|| sent(space, asked, (0, results)), found)?;
        taken(space, results, found.tensors)
    }

    /// The block of this rank's first batch in a vector of the data.
    pub(in crate::objective) fn first_block(&self) -> usize {
        if self.is_shared() { self.number_of(0) } else { 0 }
    }

    /// The shapes of the outputs on all batches of all ranks, from those of this rank's. Collective.
    #[inline(never)]
    pub(in crate::objective) fn shapes_of_all(
        &self,
        own: Result<Vec<Vec<usize>>, Error>,
    ) -> Result<Vec<Vec<usize>>, Error> {
        let Some(share) = self.share() else { return own };
        let terms = share.numbering()?.terms;
        let own = self.agreed(own)?;
        let most = own.iter().map(Vec::len).max().unwrap_or_default();
        let most = share.ranks.gather(&[most as u64])?.into_iter().flatten().max();
        let width = 1 + most.unwrap_or_default() as usize;
        // For each batch one more than its number of dimensions, and these; zero where there is no batch.
        let mut words = vec![0; terms * width];
        for (place, shape) in words.chunks_mut(width).zip(&own) {
            let sizes = shape.iter().map(|&size| size as u64);
            let numbers = [1 + shape.len() as u64].into_iter().chain(sizes);
            place.iter_mut().zip(numbers).for_each(|(place, number)| *place = number);
        }
        let all = share.ranks.gather(&words)?;
        let shape = |words: &[u64]| {
            let dims = words.first()?.checked_sub(1)? as usize;
            Some(words.iter().skip(1).take(dims).map(|&size| size as usize).collect())
        };
        Ok(all.iter().flat_map(|words| words.chunks(width)).filter_map(shape).collect())
    }
}

fn sent<'a, B: AutodiffBackend>(
    space: &ParamSpace<B>,
    (call, vectors): Asked<'a, B>,
    (numbers, results): (usize, usize),
) -> Sent<'a, B> {
    let blocks = space.layout().blocks();
    let one = blocks.iter().map(|block| Extent::Whole(block.shape().to_vec()));
    let extents = (0..results).flat_map(|_| one.clone()).collect();
    Sent { call, vectors, numbers, extents }
}

/// The vectors in the tensors of a message.
fn taken<B: AutodiffBackend>(
    space: &ParamSpace<B>,
    results: usize,
    tensors: Vec<Option<InnerFloat<B>>>,
) -> Result<Vec<ParamVector<B>>, Error> {
    let (blocks, mut tensors) = (space.layout().blocks().len(), tensors.into_iter().flatten());
    let vectors = (0..results).map(|_| {
        let blocks = tensors.by_ref().take(blocks).collect();
        Ok(space.from_blocks(blocks)?)
    });
    vectors.collect()
}
