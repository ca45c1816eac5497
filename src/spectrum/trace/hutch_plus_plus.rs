//! Hutch++: tr A = tr QᵀA Q + tr (I − QQᵀ) A (I − QQᵀ), the first exactly, the second by Hutchinson's estimator.
//!
//! The probes of the second are normal vectors, whose directions are uniform in what Q leaves, and their lengths are
//! divided out; random signs lose their advantage by the projection.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::{Products, finite_dot},
    seeds::Seeds,
    spectrum::{
        Estimate,
        sketch::{Dependent, Factors},
    },
};

pub(super) fn estimate<B: AutodiffBackend>(
    products: &Products<'_, B>,
    budget: usize,
    seed: u64,
) -> Result<Estimate, Error> {
    let mut seeds = Seeds::new(seed);
    let space = products.space();
    let sketched = (0..budget / 3).map(|_| Ok(space.rademacher(seeds.next())));
    let sketched: Vec<_> = sketched.collect::<Result<_, Error>>()?;
    let images = products.multiply_many(&sketched)?;
    let basis = Factors::new(&images, space, Dependent::Dropped, &mut seeds)?.basis;
    drop((sketched, images));
    let image = products.multiply_basis(&basis)?;
    let inner = basis.overlaps(&image)?;
    let known: f64 = (0..basis.len()).map(|i| inner[(i, i)]).sum();

    let draw = || {
        let z = space.normal(seeds.next());
        let rest = basis.project(z.flat_tensor(), usize::MAX).rest;
        Ok(space.from_flat_tensor(rest)?)
    };
    let left = budget.saturating_sub(products.count());
    let dimensions = space.len().saturating_sub(basis.len()) as f64;
    let samples = products
        .sample(left, draw, |z, product| Ok(dimensions * finite_dot(&z, &product)? / z.dot(&z)?))?;
    Ok(Estimate::of_samples(known, &samples, products.count()))
}
