//! Lanczos' process from several probes side by side.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::{KrylovSpace, Products, Projection},
    seeds::Seeds,
    space::ParamVector,
    tensor::Precision,
};

use super::{DensityEstimatorConfig, QuadratureRule};

/// One rule for each probe.
pub(super) fn quadrature_rules<B: AutodiffBackend>(
    products: &Products<'_, B>,
    config: &DensityEstimatorConfig,
) -> Result<Vec<QuadratureRule>, Error> {
    let space = products.space();
    let mut seeds = Seeds::new(config.seed);
    let number = match space.precision() {
        Precision::F32 => 4,
        Precision::F64 => 8,
    };
    let group = config.group(number * space.len());
    let mut rules = Vec::new();
    while rules.len() < config.probes {
        let some = group.min(config.probes - rules.len());
        let starts = (0..some).map(|_| {
            let probe = space.rademacher(seeds.next());
            KrylovSpace::from_start(probe, seeds.clone())
        });
        let mut spaces: Vec<_> = starts.collect::<Result<_, Error>>()?;
        for _ in 0..config.steps {
            if !advance(products, &mut spaces)? {
                break;
            }
        }
        for space in &mut spaces {
            rules.push(rule(space)?);
        }
    }
    Ok(rules)
}

/// One step from every probe whose space still grows, and whether there is one; one transfer for all of them.
fn advance<B: AutodiffBackend>(
    products: &Products<'_, B>,
    spaces: &mut [KrylovSpace<B>],
) -> Result<bool, Error> {
    let mut growing = Vec::new();
    let mut steps = Vec::new();
    for space in spaces {
        if let Some(step) = space.step()? {
            growing.push(space);
            steps.push(step);
        }
    }
    if growing.is_empty() {
        return Ok(false);
    }
    let vectors: Vec<ParamVector<B>> = steps.iter().map(|step| step.vector.clone()).collect();
    let images = products.multiply_many(&vectors)?;
    let pairs = growing.iter().zip(steps.iter().zip(&images));
    let projections = pairs.map(|(space, (step, image))| space.project(step, image));
    let projections: Vec<_> = projections.collect::<Result<_, _>>()?;
    let read = Projection::read(&projections)?;
    let settled = projections.into_iter().zip(read);
    for (space, (image, (projection, overlaps))) in
        growing.into_iter().zip(images.iter().zip(settled))
    {
        space.settle(image, projection, overlaps)?;
    }
    Ok(true)
}

/// The eigenvalues of T, and the squares of the first entries of its eigenvectors.
fn rule<B: AutodiffBackend>(space: &mut KrylovSpace<B>) -> Result<QuadratureRule, Error> {
    let ritz = space.ritz()?;
    let weights = (0..ritz.values.len()).map(|index| ritz.vectors[(0, index)].powi(2));
    Ok(QuadratureRule { weights: weights.collect(), nodes: ritz.values })
}
