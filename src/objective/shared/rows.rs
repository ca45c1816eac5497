//! Results by row: each rank has those of its own samples.

use burn_backend::AutodiffBackend;

use super::{
    Share,
    message::{Contribution, Sent},
    stamp::Call,
};
use crate::{error::Error, objective::Objective};

/// Where this rank's samples are among those of all ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Samples of the ranks before this one.
    pub first: usize,
    pub own: usize,
    pub total: usize,
}

impl<B: AutodiffBackend> Objective<B> {
    /// This rank's batches alone, in their weights among those of all ranks: nothing is summed.
    pub(crate) fn here(&self) -> Self {
        let mut here = self.clone();
        if let Some(share) = &mut here.settings.share {
            *share = Share { here: true, ..share.clone() };
        }
        here
    }

    /// The rows of this rank. Collective.
    pub(crate) fn rows(&self) -> Result<Rows, Error> {
        let own = self.samples().iter().sum();
        let Some(share) = self.share() else { return Ok(Rows { first: 0, own, total: own }) };
        let all: Vec<usize> =
            share.ranks.gather(&[own as u64])?.iter().map(|words| words[0] as usize).collect();
        let first = all[..share.ranks.rank()].iter().sum();
        Ok(Rows { first, own, total: all.iter().sum() })
    }

    /// The numbers of all samples, for each of `count` columns, from those of this rank's samples. Collective.
    pub(crate) fn gathered(
        &self,
        rows: Rows,
        count: usize,
        own: Result<Vec<Vec<f64>>, Error>,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let Some(share) = self.share() else { return own };
        let own = own.map(|own| {
            let mut numbers = vec![0.0; count * rows.total];
            for (all, own) in numbers.chunks_mut(rows.total.max(1)).zip(own) {
                all[rows.first..rows.first + own.len()].copy_from_slice(&own);
            }
            Contribution { numbers, tensors: Vec::new() }
        });
        let numbers = count * rows.total;
        let sent = Sent { call: Call::Rows, vectors: &[], numbers, extents: Vec::new() };
        let found = self.sum_as::<f64>(share, &sent, own)?;
        Ok(found.numbers.chunks(rows.total.max(1)).map(<[f64]>::to_vec).collect())
    }

    /// The smallest of the numbers of all ranks. Collective.
    #[inline(never)]
    pub(crate) fn smallest(&self, own: usize) -> Result<usize, Error> {
        let Some(share) = self.share() else { return Ok(own) };
        let all = share.ranks.gather(&[own as u64])?.into_iter().flatten();
        Ok(all.min().map_or(own, |smallest| smallest as usize))
    }

    /// Whether something holds on all ranks. Collective.
    pub(crate) fn everywhere(&self, holds: bool) -> Result<bool, Error> {
        let Some(share) = self.share() else { return Ok(holds) };
        Ok(share.ranks.gather(&[u64::from(holds)])?.iter().all(|words| words[0] == 1))
    }
}
