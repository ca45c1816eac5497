//! How far a training is from a stationary point.

use burn_backend::AutodiffBackend;

use super::{Stationarity, losses::SampleLosses};
use crate::{error::Error, objective::Objective, seeds::Seeds};

/// Random directions by which the samples' gradients are measured.
const DIRECTIONS: usize = 4;

/// Seed of the directions.
const SEED: u64 = 0x5a3e;

/// Measures a training objective plus ½·decay·‖θ‖²; `share` is its c.
pub(super) fn measure<B: AutodiffBackend>(
    training: &Objective<B>,
    losses: &SampleLosses<B>,
    (decay, share): (f64, f64),
) -> Result<Stationarity, Error> {
    let parameters = training.parameters();
    let gradient = training.gradient()?.axpy(decay, parameters)?;
    let space = parameters.space();
    let mut seeds = Seeds::new(SEED);
    let directions: Vec<_> = (0..DIRECTIONS).map(|_| space.normal(seeds.next())).collect();
    // E (gᵀv)² = ‖g‖² for normal v.
    let products = losses.products(&directions)?;
    let squares: f64 = products.iter().flatten().map(|product| product * product).sum();
    let sample_gradient = (squares / (DIRECTIONS * losses.len()) as f64).sqrt();
    let gradient_norm = gradient.norm()?;
    let typical = share * sample_gradient;
    // Formats such as JSON cannot hold an infinite number.
    let remaining =
        if gradient_norm == 0.0 { 0.0 } else { (gradient_norm / typical).min(f64::MAX) };
    Ok(Stationarity { gradient_norm, sample_gradient, remaining })
}
