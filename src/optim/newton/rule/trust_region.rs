//! The radius of a trust region by the ratio of actual to predicted decrease. Nocedal & Wright, algorithm 4.1.

use burn_backend::AutodiffBackend;

use super::{Outcome, ratio, refused, taken, whole_step};
use crate::{
    error::Error,
    optim::newton::{Memory, direction::Proposal, point::Point},
    solver::StopReason,
};

const BAD: f64 = 0.25;
const GOOD: f64 = 0.75;

/// δ if it is good enough; the radius for the next step.
pub(super) fn decide<B: AutodiffBackend>(
    (largest, accept): (f64, f64),
    point: &Point<'_, B>,
    proposal: &Proposal<B>,
    memory: &mut Memory<B>,
) -> Result<Outcome, Error> {
    let value = whole_step(point, proposal)?;
    let ratio = ratio(point.value, value, proposal.predicted.unwrap_or(0.0));
    let on_boundary = match &proposal.solve {
        Some(solve) => solve.stop == StopReason::TrustRegion,
        None => true, // along an eigenvector, to the boundary
    };
    memory.radius = memory.radius.map(|radius| {
        if ratio < BAD {
            (0.25 * radius).max(super::largest(point).recip())
        } else if ratio > GOOD && on_boundary {
            (2.0 * radius).min(largest)
        } else {
            radius
        }
    });
    let verdict = if ratio > accept { taken(proposal) } else { refused(value) };
    let known = ratio.is_finite().then_some(ratio);
    Ok(Outcome { rate: 1.0, value, ratio: known, verdict })
}
