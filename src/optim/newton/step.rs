//! One step: gradient, direction, size, verdict.

use burn_backend::AutodiffBackend;

use super::{
    Memory, NewtonOptimizer, NewtonStep, Rule, Verdict, direction::Proposal, point::Point,
    rule::Outcome,
};
use crate::{error::Error, objective::Objective, space::ParamVector};

impl<B: AutodiffBackend> NewtonOptimizer<B> {
    /// δ at the parameters of an objective, `None` if no step is taken. The carried state changes only if everything
    /// succeeds.
    #[inline(never)]
    pub(super) fn advance(
        &mut self,
        objective: &Objective<B>,
        curvature: &Objective<B>,
    ) -> Result<(Option<ParamVector<B>>, NewtonStep), Error> {
        let mut next = self.memory.clone();
        next.step = next.step.saturating_add(1);
        let point = Point::new(objective, curvature, self.config.weight_decay)?;
        let first = *next.first_norm.get_or_insert(point.norm);
        let mut report = report(&next, &point);
        let stationary = point.norm <= self.config.gradient_tolerance * first;
        let proposed = if stationary {
            self.escape(&point, &next, &mut report)?
        } else {
            let models = self.config.rule.models();
            Some(self.config.direction.propose(&point, &mut next, models)?)
        };
        let mut confined = false;
        let mut chosen = match proposed {
            Some(proposal) => Some(self.decide(&point, proposal, &mut next)?),
            None => None,
        };
        if let Some((proposal, outcome)) = &chosen
            && outcome.verdict == Verdict::Stationary
        {
            confined = is_confined(&point, proposal);
            report.products += proposal.products;
            report.solve = proposal.solve.clone();
            chosen = match self.escape(&point, &next, &mut report)? {
                Some(proposal) => Some(self.decide(&point, proposal, &mut next)?),
                None => None,
            };
        }
        next.last_norm = Some(point.norm);
        (report.evaluations, report.gradients) = point.passes();
        let delta = match chosen {
            Some((proposal, outcome)) => conclude(proposal, &outcome, &mut report)?,
            None => None,
        };
        let vanished =
            stationary || point.norm <= point.gradient.precision().epsilon().sqrt() * first;
        let short = confined || next.refused > 0;
        if report.verdict == Verdict::Stationary && short && !vanished {
            report.verdict = Verdict::Stalled;
        }
        next.refused = refused(next.refused, report.verdict);
        self.memory = next;
        Ok((delta, report))
    }

    /// A way out of a point where ∇h has vanished.
    fn escape(
        &self,
        point: &Point<'_, B>,
        memory: &Memory<B>,
        report: &mut NewtonStep,
    ) -> Result<Option<Proposal<B>>, Error> {
        let (proposal, products) = self.config.direction.escape(point, memory)?;
        report.products += products;
        Ok(proposal)
    }

    /// The decision on a proposal.
    fn decide(
        &self,
        point: &Point<'_, B>,
        proposal: Proposal<B>,
        next: &mut Memory<B>,
    ) -> Result<(Proposal<B>, Outcome), Error> {
        let fixed = matches!(self.config.rule, Rule::Fixed { .. });
        let downhill = proposal.slope < 0.0 || proposal.negative.is_some();
        // A fixed rate takes any direction, but not none.
        let leads = downhill || (fixed && proposal.delta.norm()? > 0.0);
        let outcome = if !leads {
            Outcome { rate: 0.0, value: None, ratio: None, verdict: Verdict::Uphill }
        } else if !fixed && proposal.negative.is_none() && proposal.slope.abs() <= point.rounding()
        {
            by_gradient(point, &proposal, next.refused > 0)?
        } else {
            self.config.rule.decide(point, &proposal, next)?
        };
        Ok((proposal, outcome))
    }
}

/// Whether λ or the radius makes the step so short that h does not change: at the length at which it is least along the step,
/// h would fall by (∇hᵀδ)² / 2δᵀAδ, which is not within its rounding.
fn is_confined<B: AutodiffBackend>(point: &Point<'_, B>, proposal: &Proposal<B>) -> bool {
    let Some(predicted) = proposal.predicted else { return false };
    let slope = proposal.slope.abs();
    let curvature = 2.0 * (predicted - proposal.slope);
    let least = 2.0 * (curvature / slope) * point.rounding(); // NaN if the step vanishes
    least.is_nan() || slope > least
}

/// The verdict where the change of h is lost in its rounding: ‖∇h‖ must fall, and h must not rise by more than
/// rounding. If the step is short because others were refused, ‖∇h‖ must fall by more than its own rounding.
fn by_gradient<B: AutodiffBackend>(
    point: &Point<'_, B>,
    proposal: &Proposal<B>,
    after_refusals: bool,
) -> Result<Outcome, Error> {
    let value = point.value_at(1.0, &proposal.delta)?;
    let norm = point.norm_at(1.0, &proposal.delta)?;
    let level = value.is_some_and(|value| value <= point.value + point.rounding());
    let rounding = point.gradient.precision().epsilon().sqrt();
    let below = if after_refusals { (1.0 - rounding) * point.norm } else { point.norm };
    let verdict = if level && norm.is_some_and(|norm| norm < below) {
        Verdict::WithinRounding
    } else {
        Verdict::Stationary
    };
    Ok(Outcome { rate: 1.0, value, ratio: None, verdict })
}

/// The number of steps refused since h last fell.
fn refused(before: usize, verdict: Verdict) -> usize {
    match verdict {
        Verdict::Rejected | Verdict::NotFinite | Verdict::Stalled => before.saturating_add(1),
        Verdict::WithinRounding | Verdict::Stationary | Verdict::Uphill => before,
        Verdict::Taken | Verdict::NegativeCurvature | Verdict::Raised => 0,
    }
}

/// A report before anything is known but the point.
fn report<B: AutodiffBackend>(next: &Memory<B>, point: &Point<'_, B>) -> NewtonStep {
    NewtonStep {
        step: next.step,
        verdict: Verdict::Stationary,
        value: point.value,
        value_after: None,
        gradient_norm: point.norm,
        length: 0.0,
        rate: 1.0,
        damping: next.damping,
        radius: next.radius,
        predicted: None,
        reduction_ratio: None,
        negative_curvature: None,
        products: 0,
        evaluations: 0,
        gradients: 0,
        solve: None,
    }
}

/// The step, if it is taken, and the rest of the report.
fn conclude<B: AutodiffBackend>(
    proposal: Proposal<B>,
    outcome: &Outcome,
    report: &mut NewtonStep,
) -> Result<Option<ParamVector<B>>, Error> {
    let delta =
        if outcome.rate == 1.0 { proposal.delta } else { proposal.delta.scale(outcome.rate) };
    report.verdict = outcome.verdict;
    report.value_after = outcome.value;
    report.length = delta.norm()?;
    report.rate = outcome.rate;
    report.predicted = proposal.predicted;
    report.reduction_ratio = outcome.ratio;
    report.negative_curvature = proposal.negative;
    report.products += proposal.products;
    report.solve = proposal.solve.or(report.solve.take());
    Ok(outcome.verdict.is_taken().then_some(delta))
}
