//! The extreme eigenvalues that the scale of a Neumann series needs, estimated from a random start.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::SelfAdjoint,
    seeds::Seeds,
    spectrum::{LanczosConfig, SpectrumEnd},
};

use super::super::{
    ConjugateGradientConfig, ExtremeEigenvalues, LinearSolver, NegativeCurvature, SolveOptions,
    system::System,
};

/// What the estimate found of A, or of M⁻¹A.
pub(super) enum Estimate<B: AutodiffBackend> {
    /// Positive as far as can be seen, with a margin that makes up for an estimate from below.
    Positive(ExtremeEigenvalues),
    /// A direction along which A is negative, and the extremes if they are known.
    Indefinite(NegativeCurvature<B>, Option<ExtremeEigenvalues>),
}

/// Accuracy of the estimates, relative to the largest.
const TOLERANCE: f64 = 1e-2;
/// Negative eigenvalues down to this, in units of ε relative to the largest, count as rounding in the products.
const TOLERATED: f64 = 1000.0;

/// Estimates λmin and λmax with at most about `products` products.
pub(super) fn estimate<B: AutodiffBackend>(
    system: &System<'_, B>,
    preconditioner: Option<&dyn SelfAdjoint<B>>,
    (products, seed): (usize, u64),
) -> Result<Option<Estimate<B>>, Error> {
    match preconditioner {
        None => lanczos(system, products, seed).map(Some),
        Some(inverse) => ritz(system, inverse, products, seed),
    }
}

fn lanczos<B: AutodiffBackend>(
    system: &System<'_, B>,
    products: usize,
    seed: u64,
) -> Result<Estimate<B>, Error> {
    let rhs = system.rhs();
    let pairs = if rhs.len() > 1 { SpectrumEnd::Both } else { SpectrumEnd::Largest };
    let lanczos = LanczosConfig::new()
        .with_end(pairs)
        .with_relative_tolerance(TOLERANCE)
        .with_max_products(Some(products))
        .with_seed(seed)
        .init()?;
    let found = lanczos.eigenpairs(system.operator())?;
    let values = &found.report.eigenvalues;
    let residuals = &found.report.residuals;
    let largest = values.first().copied().unwrap_or(0.0);
    let smallest = values.last().copied().unwrap_or(0.0);
    // A Ritz value errs by its residual at most.
    let above = residuals.first().copied().unwrap_or(0.0);
    let extremes = ExtremeEigenvalues::between(smallest, largest + above);
    let rounding = TOLERATED * rhs.precision().epsilon() * largest.abs().max(smallest.abs());
    match found.vectors.into_iter().last() {
        // The Ritz value is yᵀA y: a proof, whatever its residual.
        Some(direction) if smallest < -rounding => {
            let curvature = smallest;
            let found = NegativeCurvature { direction, curvature };
            Ok(Estimate::Indefinite(found, Some(extremes)))
        }
        _ => Ok(Estimate::Positive(extremes)),
    }
}

/// Conjugate gradients with the preconditioner from a random b: its Ritz values are those of M⁻¹A.
fn ritz<B: AutodiffBackend>(
    system: &System<'_, B>,
    inverse: &dyn SelfAdjoint<B>,
    products: usize,
    seed: u64,
) -> Result<Option<Estimate<B>>, Error> {
    let solver = ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-3)
        .with_max_iterations(Some(products))
        .init()?;
    let start = system.rhs().space().normal(Seeds::at(seed, 0));
    let options = SolveOptions::new().with_preconditioner(inverse);
    let solution = solver.solve_with(system.operator(), &start, options)?;
    let extremes = solution.report.spectrum.map(|spectrum| {
        ExtremeEigenvalues::between(spectrum.smallest, spectrum.largest * (1.0 + TOLERANCE))
    });
    if let Some(found) = solution.negative_curvature {
        // If it is the first direction, there are no Ritz values.
        return Ok(Some(Estimate::Indefinite(found, extremes)));
    }
    Ok(extremes.map(Estimate::Positive))
}
