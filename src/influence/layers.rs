//! Products with the gradients of samples, from the inputs and output gradients of layers.

use burn_backend::AutodiffBackend;

use super::Estimator;
use crate::{
    error::Error,
    kfac::{SampleGradients, SampleScores},
    objective::Objective,
    space::ParamVector,
};

/// The gradients of samples from the layers, for an estimator by layers; `None` where a parameter is not covered, or
/// where the samples of the loss are not those of the outputs.
pub(super) fn covering<B: AutodiffBackend>(
    estimator: &Estimator,
    training: &Objective<B>,
) -> Result<Option<SampleGradients>, Error> {
    let here = training.here();
    let by_layers = matches!(estimator, Estimator::Kfac(_) | Estimator::Ekfac(_));
    let same = by_layers && here.counts_outputs();
    let gradients = if same { SampleGradients::new(&here).ok() } else { None };
    let everywhere = training.everywhere(gradients.is_some())?;
    Ok(gradients.filter(|_| everywhere))
}

/// ∇ℓₙᵀs of this rank's samples for each s.
pub(super) fn products<B: AutodiffBackend>(
    gradients: &SampleGradients,
    training: &Objective<B>,
    vectors: &[ParamVector<B>],
) -> Result<Vec<Vec<f64>>, Error> {
    Ok(rows(&gradients.inner_products(&training.here(), vectors)?))
}

/// A row for each vector, a column for each sample.
pub(super) fn rows(scores: &SampleScores) -> Vec<Vec<f64>> {
    let (total, count) = (scores.total(), scores.vectors());
    let row = |vector: usize| total.iter().skip(vector).step_by(count).copied().collect();
    (0..count).map(row).collect()
}
