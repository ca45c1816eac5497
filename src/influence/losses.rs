//! The losses of an objective's samples and their derivatives, without a gradient of each sample.

use std::ops::Range;

use burn_backend::AutodiffBackend;

use super::InfluenceError;
use crate::{
    curvature::Jacobian,
    derive::Product,
    error::Error,
    objective::{Call, Objective, ObjectiveError, PreparedProduct, Rows},
    operator::LinearOperator,
    space::ParamVector,
};

/// ℓ(θ), the losses of samples, with J = ∂ℓ/∂θ. Of a shared objective each rank has the rows of its samples; results are those
/// of all.
pub(super) struct SampleLosses<B: AutodiffBackend> {
    given: Objective<B>,
    rows: Rows,
    /// Its outputs are ℓ, for the samples of this rank.
    objective: Objective<B>,
    /// `None` for a rank without samples.
    jacobian: Option<Jacobian<B>>,
    adjoint: PreparedProduct<B>,
}

impl<B: AutodiffBackend> SampleLosses<B> {
    pub fn new(objective: &Objective<B>) -> Result<Self, Error> {
        let rows = objective.rows()?;
        objective.agreed(Self::here(objective, rows))
    }

    fn here(given: &Objective<B>, rows: Rows) -> Result<Self, Error> {
        let here = given.here();
        let objective = here.returning_losses()?;
        here.expect_own_losses()?;
        Ok(Self {
            given: given.clone(),
            rows,
            jacobian: (rows.own > 0).then(|| Jacobian::new(&objective)).transpose()?,
            adjoint: objective.product(Product::Adjoint)?,
            objective,
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.rows.total
    }

    /// Where the samples of this rank are among all.
    pub fn rows(&self) -> Rows {
        self.rows
    }

    /// J s for each s: the products ∇ℓₙᵀs of all samples, by one forward-mode pass.
    pub fn products(&self, vectors: &[ParamVector<B>]) -> Result<Vec<Vec<f64>>, Error> {
        self.by_row(vectors.len(), self.products_here(vectors))
    }

    /// The same for the samples of this rank.
    pub fn products_here(&self, vectors: &[ParamVector<B>]) -> Result<Vec<Vec<f64>>, Error> {
        let Some(jacobian) = &self.jacobian else { return Ok(vec![Vec::new(); vectors.len()]) };
        let products = jacobian.apply_many(vectors)?;
        products.iter().map(|product| self.finite("derivative", product)).collect()
    }

    /// Numbers of all samples, from those of this rank.
    pub fn by_row(
        &self,
        columns: usize,
        own: Result<Vec<Vec<f64>>, Error>,
    ) -> Result<Vec<Vec<f64>>, Error> {
        self.given.gathered(self.rows, columns, own)
    }

    /// Σ over some samples of ∇ℓₙ, by one backward pass over their batches.
    pub fn gradient_of_sum(&self, samples: &[usize]) -> Result<ParamVector<B>, Error> {
        let mut chosen = vec![0.0; self.rows.own];
        let own = samples.iter().filter_map(|sample| sample.checked_sub(self.rows.first));
        own.filter(|&at| at < self.rows.own).for_each(|at| chosen[at] = 1.0);
        let own = self.objective.gradient_of_losses(&self.adjoint, &chosen);
        let sums = self.over_ranks(1, own.map(|sum| vec![Some(sum)]))?;
        sums.into_iter().next().ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    /// ∇ℓₙ of the samples in a range, one backward pass for each.
    pub fn gradients(&self, range: Range<usize>) -> Result<Vec<ParamVector<B>>, Error> {
        let Rows { first, .. } = self.rows;
        let own = range.start.saturating_sub(first)..range.end.saturating_sub(first);
        let mut gradients = vec![None; range.len()];
        let found = self.objective.each_sample_gradient(&self.adjoint, &own, |sample, gradient| {
            gradients[first + sample - range.start] = Some(gradient);
            Ok(())
        });
        self.over_ranks(range.len(), found.map(|()| gradients))
    }

    fn over_ranks(
        &self,
        count: usize,
        own: Result<Vec<Option<ParamVector<B>>>, Error>,
    ) -> Result<Vec<ParamVector<B>>, Error> {
        let (space, call) = (self.given.parameters().space(), (Call::Gradient, &[][..]));
        let own = own.map(|own| (Vec::new(), own));
        Ok(self.given.summed_vectors(space, call, (0, count), own)?.1)
    }

    /// ℓ(θ).
    pub fn values(&self) -> Result<Vec<f64>, Error> {
        let own = match self.rows.own {
            0 => Ok(Vec::new()),
            _ => self.objective.outputs().and_then(|losses| self.finite("loss", &losses)),
        };
        Ok(self.by_row(1, own.map(|own| vec![own]))?.concat())
    }

    /// The elements of a vector of this rank's samples, if they are finite.
    fn finite(&self, what: &'static str, of: &ParamVector<B>) -> Result<Vec<f64>, Error> {
        let values = of.to_vec()?;
        match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((own, value)) => {
                let (sample, value) = (self.rows.first + own, value.to_string());
                Err(InfluenceError::NotFinite { what, sample, value }.into())
            }
            None => Ok(values),
        }
    }

    /// The objective that was given.
    pub fn given(&self) -> &Objective<B> {
        &self.given
    }

    /// The objective whose outputs are ℓ.
    pub fn objective(&self) -> &Objective<B> {
        &self.objective
    }

    /// Bytes kept between passes.
    pub fn kept_bytes(&self) -> usize {
        self.jacobian.as_ref().map_or(0, Jacobian::kept_bytes)
    }
}
