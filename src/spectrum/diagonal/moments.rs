//! Mean and variance of vectors, entry by entry, as they come.

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use crate::{
    error::Error,
    space::{Inner, ParamSpace, ParamVector},
};

/// Mean and sum of squared deviations (Welford 1962).
pub(super) struct Moments<B: AutodiffBackend> {
    mean: ParamVector<B>,
    squares: ParamVector<B>,
    count: usize,
}

impl<B: AutodiffBackend> Moments<B> {
    /// No vectors yet.
    pub(super) fn new(space: &ParamSpace<B>) -> Self {
        Self { mean: space.zeros(), squares: space.zeros(), count: 0 }
    }

    pub(super) fn push(&mut self, vector: ParamVector<B>) -> Result<(), Error> {
        self.count += 1;
        let before = vector.clone().sub(&self.mean)?;
        let mean = self.mean.clone().axpy(1.0 / self.count as f64, &before)?;
        let after = vector.sub(&mean)?;
        self.mean = mean;
        self.squares = before.mul(&after)?.add(&self.squares)?;
        Ok(())
    }

    /// Number of vectors.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// `factor` times the standard error of each entry of the mean.
    pub(super) fn standard_error(&self, factor: f64) -> Result<ParamVector<B>, Error> {
        let count = self.count as f64;
        let scale = factor * factor / (count * (count - 1.0));
        let variance = self.squares.clone().scale(scale);
        let layout = variance.layout().clone();
        // Rounding may leave −0 or a little less.
        let roots = variance
            .into_blocks()
            .into_iter()
            .map(|block| Inner::<B>::float_sqrt(Inner::<B>::float_abs(block)));
        Ok(ParamVector::from_blocks(&layout, roots.collect())?)
    }

    /// The mean.
    pub(super) fn into_mean(self) -> ParamVector<B> {
        self.mean
    }
}
