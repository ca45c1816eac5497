//! The stochastic Newton direction. Agarwal, Bullins & Hazan 2017, Second-order stochastic optimization for machine learning
//! in linear time, algorithm 1.

use burn_backend::AutodiffBackend;

use super::Proposal;
use crate::{
    curvature::Hessian,
    error::Error,
    operator::LinearOperator,
    optim::{
        OptimizerError,
        newton::{Memory, point::Point},
    },
    seeds::Seeds,
    solver::{LissaConfig, MethodDetail, StopReason},
};

/// δ = −(H + (λ + η)I)⁻¹∇h by products with single batches.
pub(super) fn propose<B: AutodiffBackend>(
    config: &LissaConfig,
    point: &Point<'_, B>,
    memory: &Memory<B>,
    models: bool,
) -> Result<Proposal<B>, Error> {
    let terms = point.curvature.terms(); // the same number on all ranks
    if terms < 2 {
        return Err(OptimizerError::OneBatch.into());
    }
    let damping = memory.damping + point.decay;
    let operator = Hessian::new(point.curvature)?.damped(damping)?;
    let solver = config.clone().with_seed(Seeds::at(config.seed, memory.step as u64)).init()?;
    let solution = solver.solve(&operator, &point.gradient.clone().neg())?;
    let (mut products, mut scale, mut largest) = (0, f64::NAN, None);
    if let Some(MethodDetail::Lissa { term_products, scale: used, largest: met, .. }) =
        solution.report.detail
    {
        (products, scale, largest) = (term_products, used, met);
    }
    if solution.report.stop == StopReason::Diverged {
        let largest = largest.unwrap_or(f64::INFINITY);
        return Err(OptimizerError::SeriesDiverged { scale, largest }.into());
    }
    products += solution.report.applications * terms;
    let delta = solution.x;
    let slope = point.gradient.dot(&delta)?;
    let predicted = if models {
        products += terms;
        let quadratic = delta.dot(&operator.apply(&delta)?)?;
        Some(slope + 0.5 * quadratic - 0.5 * memory.damping * delta.dot(&delta)?)
    } else {
        None
    };
    let (value, negative, solve) = (None, None, Some(solution.report));
    Ok(Proposal { delta, slope, predicted, value, negative, products, solve })
}
