//! Hutchinson's estimator, the mean of zᵀA z over random signs z.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::{Products, finite_dot},
    seeds::Seeds,
    spectrum::Estimate,
};

pub(super) fn estimate<B: AutodiffBackend>(
    products: &Products<'_, B>,
    budget: usize,
    seed: u64,
) -> Result<Estimate, Error> {
    let mut seeds = Seeds::new(seed);
    let draw = || Ok(products.space().rademacher(seeds.next()));
    let samples = products.sample(budget, draw, |z, product| finite_dot(&z, &product))?;
    Ok(Estimate::of_samples(0.0, &samples, products.count()))
}
