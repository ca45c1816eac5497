//! How much memory scoring takes, before it starts.

use burn_backend::AutodiffBackend;

use crate::{
    derive::Product,
    error::Error,
    influence::{Estimator, Influence, pairs::Asked, passes::SEVERAL, query::Gradients},
    kfac::SampleGradients,
    tensor::Precision,
};

/// Vectors of the size of θ that an iterative solver holds for each system, the solution among them.
fn workspace(estimator: &Estimator) -> usize {
    match estimator {
        Estimator::Minres(_) => 7,
        _ => 4, // the solution, the residual, the direction and its product
    }
}

/// Bytes that scoring block after block takes at most, beyond what the influence holds already.
pub(super) fn predicted<B: AutodiffBackend>(
    influence: &Influence<B>,
    asked: &Asked<'_, B>,
    written: Precision,
) -> Result<usize, Error> {
    let training = influence.training();
    let element = training.precision().bytes();
    let (samples, parameters) = (influence.losses.rows().own, training.layout().len());
    let at_once = influence.config().at_once.min(asked.gradients.len());

    let rows = samples * (at_once * size_of::<f64>() + written.bytes());
    let by_layers =
        |layers: &SampleGradients| at_once * samples * size_of::<f64>() * (layers.parts() + 1);
    if let (Some(layers), Some((vectors, transient))) =
        (&influence.layers, influence.bytes_of_pairs(asked, at_once)?)
    {
        return Ok(vectors + by_layers(layers) + rows + transient);
    }

    let iterative = influence.inverse.matrix();
    let own = workspace(&influence.config().estimator);
    let vectors = if iterative.is_some() { 1 + own } else { 3 };
    // A message is copied when it is packed, sent, summed and unpacked.
    let messages = if training.is_shared() { 4 } else { 0 };
    let vectors = at_once * (vectors + messages) * parameters * element;

    let layers = influence.layers.as_ref().filter(|_| at_once >= SEVERAL);
    let products = match layers {
        Some(layers) => by_layers(layers),
        None => at_once * samples * element,
    };

    // What each product will keep, and what it keeps already.
    let mut passes = Vec::new();
    if layers.is_none() {
        let losses = &influence.losses;
        passes.push((losses.objective().memory_of(Product::Jacobian)?, losses.kept_bytes()));
    }
    if let Some(matrix) = iterative {
        passes.push((training.memory_of(matrix.product())?, matrix.kept_bytes()));
    }
    if let Gradients::Samples(losses) = &asked.gradients {
        passes.push((losses.objective().memory_of(Product::Adjoint)?, 0));
    }
    let kept: usize = passes.iter().map(|(memory, held)| memory.kept.saturating_sub(*held)).sum();
    // Each pass has ended before the next one starts.
    let of_layers = layers.map(|layers| layers.transient_bytes(training, at_once)).transpose()?;
    let (factors, factorizing) = influence.inverse.factorization_bytes();
    let transient = passes.iter().map(|(memory, _)| memory.transient).chain(of_layers).max();
    let transient = transient.unwrap_or_default().max(factorizing);
    Ok(vectors + products + rows + kept + factors + transient)
}
