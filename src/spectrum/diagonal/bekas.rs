//! The estimator of Bekas, Kokiopoulou and Saad: the mean of z ⊙ A z over random signs z.

use burn_backend::AutodiffBackend;

use crate::{error::Error, krylov::Products, seeds::Seeds};

use super::moments::Moments;

pub(super) fn estimate<B: AutodiffBackend>(
    products: &Products<'_, B>,
    budget: usize,
    seed: u64,
) -> Result<Moments<B>, Error> {
    let mut seeds = Seeds::new(seed);
    let mut moments = Moments::new(products.space());
    let draw = || Ok(products.space().rademacher(seeds.next()));
    products.sample(budget, draw, |z, product| {
        product.expect_finite("the product A v")?;
        moments.push(z.mul(&product)?)
    })?;
    Ok(moments)
}
