//! A fixed rate.

use burn_backend::AutodiffBackend;

use super::{Outcome, taken};
use crate::{
    error::Error,
    optim::newton::{Verdict, direction::Proposal, point::Point},
};

/// rate·δ, unless h would not be finite.
pub(super) fn decide<B: AutodiffBackend>(
    rate: f64,
    point: &Point<'_, B>,
    proposal: &Proposal<B>,
) -> Result<Outcome, Error> {
    let value = point.value_at(rate, &proposal.delta)?;
    let verdict = match value {
        None => Verdict::NotFinite,
        Some(value) if value > point.value + point.rounding() => Verdict::Raised,
        Some(_) => taken(proposal),
    };
    Ok(Outcome { rate, value, ratio: None, verdict })
}
