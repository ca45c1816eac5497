//! Directions of negative curvature. Royer, O'Neill & Wright 2020, A Newton-CG algorithm with complexity guarantees for
//! smooth unconstrained optimization: the minimum eigenvalue oracle, and steps along such directions.

use burn_backend::AutodiffBackend;

use super::{Curvature, Proposal};
use crate::{
    error::Error,
    krylov::KrylovError,
    operator::{Counted, LinearOperator},
    optim::newton::{Memory, point::Point},
    seeds::Seeds,
    space::ParamVector,
    spectrum::{LanczosConfig, SpectrumEnd},
};

/// Products that Lanczos' process may spend.
const PRODUCTS: usize = 50;
/// Seed of its random starts.
const SEED: u64 = 0x5add1e;

/// The eigenvector of the smallest eigenvalue of A + ηI where ∇h has vanished, if the eigenvalue is clearly negative; with
/// the products it took.
pub(super) fn escape<B: AutodiffBackend>(
    point: &Point<'_, B>,
    memory: &Memory<B>,
) -> Result<(Option<Proposal<B>>, usize), Error> {
    let operator = Counted::new(Curvature::Hessian.of(point.curvature)?.damped(point.decay)?);
    let tolerance = 1e-3;
    let lanczos = LanczosConfig::new()
        .with_end(SpectrumEnd::Smallest)
        .with_relative_tolerance(tolerance)
        .with_max_products(Some(PRODUCTS))
        .with_seed(Seeds::at(SEED, memory.step as u64))
        .init()?;
    // Squares of small numbers leave the range of f32 before the numbers do: those of a multiple do not.
    let (found, scale) = match lanczos.eigenpairs(&operator) {
        Err(error) => match error.downcast_ref() {
            Some(KrylovError::Range { norm, .. }) if norm.is_normal() => {
                (lanczos.eigenpairs(&(&operator).scaled(norm.recip())?)?, *norm)
            }
            _ => return Err(error),
        },
        Ok(found) => (found, 1.0),
    };
    let products = operator.applications(); // of both attempts
    let (curvature, largest) =
        (scale * found.report.smallest(), scale * found.report.threshold / tolerance);
    // A Rayleigh quotient below zero proves that A is negative along its vector, but for rounding.
    let clear = curvature < -operator.domain().precision().epsilon().sqrt() * largest;
    let Some(unit) = found.vectors.into_iter().next().filter(|_| clear) else {
        return Ok((None, products));
    };
    Ok((Some(along(point, unit, curvature, (0.0, memory.radius))?), products))
}

/// A step along a unit vector, downhill: as long as the trust radius, which is never exceeded; without one, of at least the
/// length at which h = h₀ − ½|κ|t² differs from rounding.
pub(super) fn along<B: AutodiffBackend>(
    point: &Point<'_, B>,
    unit: ParamVector<B>,
    curvature: f64,
    (length, radius): (f64, Option<f64>),
) -> Result<Proposal<B>, Error> {
    let slope = point.gradient.dot(&unit)?;
    let (unit, slope) = if slope > 0.0 { (unit.neg(), -slope) } else { (unit, slope) };
    let least = unit.precision().epsilon().cbrt() * point.parameters().norm()?.max(1.0);
    let length = radius.unwrap_or_else(|| length.max(least));
    let slope = length * slope;
    Ok(Proposal {
        delta: unit.scale(length),
        slope,
        predicted: Some(slope + 0.5 * curvature * length * length),
        value: None,
        negative: Some(curvature),
        products: 0,
        solve: None,
    })
}
