//! Passes over the queries, block by block, and over the training samples for those that are solved.

use std::ops::Range;

use burn_backend::AutodiffBackend;

use super::{
    Estimator, Influence, InfluenceConfig, InfluenceError, Prediction, Query, Solves, layers,
    query::Gradients, scores::expect_finite,
};
use crate::{
    error::Error,
    objective::{Progress, Reduction},
    space::ParamVector,
};

/// The number of vectors from which passes over the layers are worthwhile.
pub(super) const SEVERAL: usize = 4;

/// Solved queries.
pub(super) struct Solved {
    pub queries: usize,
    pub solves: Solves,
}

impl<B: AutodiffBackend> Influence<B> {
    /// Calls `work` with A⁻¹∇f of the queries of each block.
    pub(super) fn each_solved(
        &self,
        query: Query<'_, B>,
        mut work: impl FnMut(&[ParamVector<B>]) -> Result<(), Error>,
    ) -> Result<Solved, Error> {
        let gradients = Gradients::of(query, &self.training)?;
        self.each_block(gradients.len(), None, |block| {
            let (vectors, solves) = self.inverse.solve(&gradients.some(block)?)?;
            work(&vectors)?;
            Ok(solves)
        })
    }

    /// Calls `work` with the queries of each block, and sums up the solves that it reports. What fails on one rank ends the
    /// pass on all.
    pub(super) fn each_block(
        &self,
        queries: usize,
        range: Option<Range<usize>>,
        mut work: impl FnMut(Range<usize>) -> Result<Solves, Error>,
    ) -> Result<Solved, Error> {
        let Range { start, end } = range.unwrap_or(0..queries);
        if start >= end || end > queries {
            return Err(InfluenceError::QueryRange { start, end, queries }.into());
        }
        let mut solved = Solved { queries: end - start, solves: Solves::default() };
        for first in (start..end).step_by(self.config.at_once) {
            let last = end.min(first.saturating_add(self.config.at_once));
            solved.solves.merge(&self.training.agreed(work(first..last))?);
            self.observe(last - start, end - start);
        }
        Ok(solved)
    }

    /// The scores of all training samples for some s = A⁻¹∇f, or parts of them.
    #[inline(never)]
    pub(super) fn scored(&self, solved: &[ParamVector<B>]) -> Result<Vec<Vec<f64>>, Error> {
        let rows = self.losses.by_row(solved.len(), self.scored_here(solved))?;
        expect_finite(rows.iter().map(Vec::as_slice), 0, f64::is_finite)?;
        Ok(rows)
    }

    /// The same for the samples of this rank.
    pub(super) fn scored_here(&self, solved: &[ParamVector<B>]) -> Result<Vec<Vec<f64>>, Error> {
        let (factor, shared) = (self.factor(), self.shared_penalty());
        let mut rows = self.products_here(solved)?;
        for (row, solved) in rows.iter_mut().zip(solved) {
            let more = shared.as_ref().map_or(Ok(0.0), |penalty| penalty.dot_in_range(solved))?;
            row.iter_mut().for_each(|product| *product = factor * (*product + more));
        }
        Ok(rows)
    }

    /// ∇ℓₙᵀs of all samples for each s.
    pub(super) fn products(&self, vectors: &[ParamVector<B>]) -> Result<Vec<Vec<f64>>, Error> {
        self.losses.by_row(vectors.len(), self.products_here(vectors))
    }

    /// The same for the samples of this rank: by directional derivatives or, for several s and an estimator by layers,
    /// from the layers, with a forward and a backward pass for all s and less for each.
    pub(super) fn products_here(&self, vectors: &[ParamVector<B>]) -> Result<Vec<Vec<f64>>, Error> {
        match &self.layers {
            Some(layers) if vectors.len() >= SEVERAL => {
                layers::products(layers, &self.training, vectors)
            }
            _ => self.losses.products_here(vectors),
        }
    }

    /// The part w·θ of a sample in the gradient of the penalty: when a sample leaves a mean, the penalty keeps its
    /// weight, and the other losses gain weight. Products of gradients have no penalty.
    pub(super) fn shared_penalty(&self) -> Option<ParamVector<B>> {
        let InfluenceConfig { estimator, weight_decay, prediction, .. } = &self.config;
        let shared = (self.reduction, *prediction) == (Reduction::Mean, Prediction::LeftOut)
            && *estimator != Estimator::Identity;
        let parameters = self.training.parameters().clone();
        (shared && *weight_decay > 0.0).then(|| parameters.scale(*weight_decay))
    }

    /// The factor of ∇fᵀA⁻¹∇ℓₙ in a score.
    pub(super) fn factor(&self) -> f64 {
        match self.config.prediction {
            Prediction::LeftOut => self.reduction.factor(self.losses.len()),
            Prediction::Upweighted => -1.0,
        }
    }

    pub(super) fn observe(&self, done: usize, total: usize) {
        if let Some(observer) = &self.observer {
            observer(Progress { done, total });
        }
    }
}
