//! Scores in the eigenbases of K-FAC and EKFAC, where A⁻¹ is a diagonal: no vector of the size of θ for a query.
//!
//! Grosse et al. 2023, *Studying large language model generalization with influence functions*, section 3.2: the gradients
//! of queries are outer products too, and cheap to rotate.

use std::ops::Range;

use burn_backend::AutodiffBackend;

use super::{Influence, Query, Solves, layers::rows, query::Gradients};
use crate::{error::Error, kfac::SampleGradients, objective::Objective};

/// A query, and how its scores are computed.
pub(super) struct Asked<'a, B: AutodiffBackend> {
    pub gradients: Gradients<'a, B>,
    pub pairs: Option<Pairs<B>>,
}

/// Queries whose gradients are computed from the layers, as those of the training samples are.
pub(super) struct Pairs<B: AutodiffBackend> {
    layers: SampleGradients,
    queries: Objective<B>,
    /// ∇fᵀA⁻¹ times the share of a sample in the penalty's gradient, for each query.
    of_penalty: Option<Vec<f64>>,
}

impl<B: AutodiffBackend> Influence<B> {
    /// Checks that a query belongs to the training, and decides how it is scored.
    pub(super) fn asked<'a>(&self, query: Query<'a, B>) -> Result<Asked<'a, B>, Error> {
        let gradients = Gradients::of(query, &self.training)?;
        let pairs = self.pairs(&gradients)?;
        Ok(Asked { gradients, pairs })
    }

    /// `None` for queries that are not samples, or whose gradients are not those of the same layers.
    fn pairs(&self, gradients: &Gradients<'_, B>) -> Result<Option<Pairs<B>>, Error> {
        let (Gradients::Samples(losses), Some(own), Some(inverse)) =
            (gradients, &self.layers, self.inverse.factored())
        else {
            return Ok(None);
        };
        let queries = losses.given();
        if queries.is_shared() || !queries.counts_outputs() {
            return Ok(None);
        }
        let Ok(layers) = SampleGradients::new(queries) else { return Ok(None) };
        if !layers.has_blocks_of(own) || !own.has_eigenbases(inverse)? {
            return Ok(None);
        }
        let of_penalty = match self.shared_penalty() {
            Some(penalty) => {
                let (solved, _) = self.inverse.solve(&[penalty])?;
                Some(layers.inner_products(queries, &solved)?.total())
            }
            None => None,
        };
        Ok(Some(Pairs { layers, queries: queries.clone(), of_penalty }))
    }

    /// The scores of this rank's samples for some queries. Adds to the summary of solves.
    pub(super) fn scores_here(
        &self,
        asked: &Asked<'_, B>,
        range: &Range<usize>,
        solves: &mut Solves,
    ) -> Result<Vec<Vec<f64>>, Error> {
        if let Some(pairs) = &asked.pairs
            && let Some(rows) = self.scores_of_pairs(pairs, range)?
        {
            return Ok(rows);
        }
        let (vectors, more) = self.inverse.solve(&asked.gradients.some(range.clone())?)?;
        solves.merge(&more);
        self.scored_here(&vectors)
    }

    /// `None` where a gradient of a query is not finite, or its batch has other layers: the gradients as vectors then
    /// report what is wrong, or are used instead.
    fn scores_of_pairs(
        &self,
        pairs: &Pairs<B>,
        range: &Range<usize>,
    ) -> Result<Option<Vec<Vec<f64>>>, Error> {
        let (Some(layers), Some(inverse)) = (&self.layers, self.inverse.factored()) else {
            return Ok(None);
        };
        let Ok(gradients) = pairs.layers.in_eigenbasis(&pairs.queries, inverse, range) else {
            return Ok(None);
        };
        if !gradients.are_finite()? {
            return Ok(None);
        }
        let forms = layers.bilinear_forms(&self.training.here(), inverse, &gradients)?;
        let (mut rows, factor) = (rows(&forms), self.factor());
        for (row, query) in rows.iter_mut().zip(range.clone()) {
            let more = pairs.of_penalty.as_ref().and_then(|all| all.get(query)).unwrap_or(&0.0);
            row.iter_mut().for_each(|product| *product = factor * (*product + more));
        }
        Ok(Some(rows))
    }

    /// Bytes that several queries take at once, and the most that the passes take on top; `None` where they are not
    /// pairs.
    pub(super) fn bytes_of_pairs(
        &self,
        asked: &Asked<'_, B>,
        at_once: usize,
    ) -> Result<Option<(usize, usize)>, Error> {
        let (Some(pairs), Some(inverse)) = (&asked.pairs, self.inverse.factored()) else {
            return Ok(None);
        };
        let objectives = (&pairs.queries, &self.training.here());
        pairs.layers.bilinear_bytes(objectives, inverse, at_once).map(Some)
    }
}
