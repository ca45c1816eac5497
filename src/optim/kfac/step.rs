//! One step: gradient, curvature, direction, size, damping.

use burn_backend::AutodiffBackend;

use super::{
    KfacInverse, KfacOptimizer, KfacStep, Progress, StepRule,
    model::by_rate,
    running::{Inverted, Source},
};
use crate::{
    error::Error,
    kfac::InversionReport,
    objective::{Objective, ObjectiveError, ValueAndGradient},
    operator::LinearOperator,
    optim::{OptimizerError, point::Point},
    space::ParamVector,
};

/// ω₁ and ω₂ are powers of this: the period of the adaptation, and half that of the search.
const OMEGA: f64 = 19.0 / 20.0;
/// The inverse is computed at each of the first steps, when factors change most.
const FIRST_STEPS: usize = 3;
/// λ falls above the first ratio and rises below the second.
const GOOD_RATIO: f64 = 0.75;
const BAD_RATIO: f64 = 0.25;

/// h and ∇h at θ.
pub(super) struct Slope<'a, B: AutodiffBackend> {
    /// Its gradient may be shortened; its norm is that before shortening.
    pub point: Point<'a, B>,
    /// What is left of the gradient: 1 unless it is shortened.
    pub share: f64,
    /// Whether it was given, and may be that of another mode than the objective's.
    given: bool,
    /// Whether factors were collected.
    collected: bool,
}

/// A direction −F̂⁻¹∇h, or a step along it, with its inverse.
pub(super) struct Candidate<B: AutodiffBackend> {
    pub inverse: Inverted<B>,
    pub direction: ParamVector<B>,
    /// Whether the inverse has the γ of this step, and is not that of an earlier one.
    renewed: bool,
}

/// The first candidate Δ with |Δᵀ∇h|; an error where that is not finite.
pub(super) fn first<B: AutodiffBackend>(
    candidates: Vec<Candidate<B>>,
    slope: &Slope<'_, B>,
) -> Result<(Candidate<B>, f64), Error> {
    let first = candidates.into_iter().next().ok_or(ObjectiveError::NoBatches)?;
    let found = first.direction.dot(&slope.point.gradient)?.abs();
    if !found.is_finite() {
        first.direction.expect_finite("the natural gradient")?;
        return Err(OptimizerError::StepRange { found }.into());
    }
    Ok((first, found))
}

impl<B: AutodiffBackend> KfacOptimizer<B> {
    /// δ at the objective's parameters, by a rule, or without any the natural direction −F̂⁻¹∇h itself. The carried state
    /// changes only if everything succeeds.
    #[inline(never)]
    pub(super) fn advance(
        &mut self,
        objective: &Objective<B>,
        given: Option<ValueAndGradient<B>>,
        rule: Option<StepRule>,
    ) -> Result<(ParamVector<B>, KfacStep), Error> {
        let finished = self.finished(objective)?;
        let mut next = self.progress.clone();
        next.step = next.step.saturating_add(1);
        let slope = self.observe(&mut next, objective, given)?;
        let period = self.config.search_period.filter(|_| rule.is_some());
        let searches = period.is_some_and(|period| next.step.is_multiple_of(period));
        let asked = (searches, finished);
        let (candidates, inverted) = self.candidates(&mut next, objective, &slope, asked)?;
        let mut report = report(&next, &slope, inverted);
        let Candidate { inverse, direction: delta, renewed } = match rule {
            Some(StepRule::QuadraticModel { momentum }) => {
                self.by_model(&next, objective, (&slope, momentum), candidates, &mut report)?
            }
            Some(StepRule::LearningRate { rate, momentum, limit }) => {
                by_rate(&next, &slope, (rate, momentum, limit), candidates, &mut report)?
            }
            None => {
                report.alpha = 1.0;
                first(candidates, &slope)?.0
            }
        };
        if inverted {
            report.inversion = inverse.report.clone();
        }
        report.gamma = inverse.gamma;
        if renewed {
            next.gamma = inverse.gamma;
        }
        next.running.inverted = Some(inverse);
        if rule.is_some() {
            self.judge(&mut next, (&slope, &delta), &mut report)?;
            next.previous = report.taken.then(|| delta.clone());
        }
        self.progress = next;
        Ok((delta, report))
    }

    /// h, ∇h, and new factors if they are due, by one program unless the gradient is given.
    fn observe<'a>(
        &self,
        next: &mut Progress<B>,
        objective: &'a Objective<B>,
        given: Option<ValueAndGradient<B>>,
    ) -> Result<Slope<'a, B>, Error> {
        let due = next.running.factors.value.is_none()
            || next.step.is_multiple_of(self.config.factor_period);
        let (was_given, decay) = (given.is_some(), self.config.decay);
        let collector = self.collector.clone().at_step(next.step);
        let at = match given {
            Some(given) => {
                objective.parameters().expect_like(&given.gradient)?;
                if due {
                    next.running.factors.update(collector.factors(objective)?, decay)?;
                }
                given
            }
            None if due => {
                let (at, factors) = collector.gradient_and_factors(objective)?;
                next.running.factors.update(factors, decay)?;
                at
            }
            None => objective.value_and_gradient()?,
        };
        let decay = self.config.weight_decay;
        let mut point = Point::with_gradient(objective, objective, decay, at)?;
        let longest = self.config.gradient_norm.filter(|longest| point.norm > *longest);
        let share = longest.map_or(1.0, |longest| longest / point.norm);
        if longest.is_some() {
            point.gradient = point.gradient.scale(share);
        }
        Ok(Slope { point, share, given: was_given, collected: due })
    }

    /// Directions by one inverse or several, and whether the inverses are new, given whether γ is searched and whether
    /// decompositions in the background are finished.
    fn candidates(
        &self,
        next: &mut Progress<B>,
        objective: &Objective<B>,
        slope: &Slope<'_, B>,
        (searches, finished): (bool, bool),
    ) -> Result<(Vec<Candidate<B>>, bool), Error> {
        let due = searches
            || next.step <= FIRST_STEPS
            || next.step.is_multiple_of(self.config.inverse_period);
        let mut gammas = match (self.config.search_period, searches) {
            (None, _) => vec![(next.damping + self.config.weight_decay).sqrt()],
            (Some(period), true) => {
                let omega = OMEGA.powf(0.5 * period as f64);
                vec![next.gamma, next.gamma * omega, next.gamma / omega]
            }
            (Some(_), false) => vec![next.gamma],
        };
        let kind: KfacInverse = self.config.inverse;
        let collector = self.collector.clone().at_step(next.step);
        let decay = self.config.decay;
        let background = self.config.background && kind != KfacInverse::Factored;
        let (before, network) = (next.running.inverted.take(), (&collector, objective));
        let mut inverted = due || before.is_none();
        if inverted {
            next.running.uncovered.update(collector.uncovered(objective)?, decay)?;
        }
        // The source of new inverses; `None` if the previous inverse stays.
        let mut source = match &before {
            Some(before) if background => {
                let own = before.source.clone();
                let (taken, source) =
                    next.running.turn_to_background(network, (due, finished), own)?;
                inverted = taken;
                (due || taken).then_some(source)
            }
            Some(_) if !due => None,
            _ => next.running.source(network, kind)?,
        };
        let renewed = source.is_some();
        if slope.collected && kind == KfacInverse::EigenvalueCorrected {
            if let (None, Some(before)) = (&source, &before) {
                (source, gammas) = (Some(before.source.clone()), vec![before.gamma]);
            }
            // With decay·s + (1 − decay)·s', s' the diagonal of this batch.
            if let Some(Source::Spectra(ekfac)) = &mut source {
                let kept = next.running.factors.kept(decay);
                *ekfac = ekfac.averaged(&collector, objective, kept)?;
            }
        }
        let candidate = |inverse: Inverted<B>| {
            let direction = inverse.map.apply(&slope.point.gradient)?.neg();
            Ok(Candidate { inverse, direction, renewed })
        };
        let candidates: Result<_, Error> = match source {
            None => before.into_iter().map(candidate).collect(),
            Some(source) => {
                let inverse = |gamma| Inverted::new(source.clone(), gamma, self.config.inversion);
                gammas.into_iter().map(|gamma| candidate(inverse(gamma)?)).collect()
            }
        };
        Ok((candidates?, inverted))
    }

    /// Refuses a step of the quadratic model to a loss that is not finite, and adapts λ by the ratio of actual to predicted
    /// decrease if that is due. The actual one is that of the objective in the mode it was recorded in.
    fn judge(
        &self,
        next: &mut Progress<B>,
        (slope, delta): (&Slope<'_, B>, &ParamVector<B>),
        report: &mut KfacStep,
    ) -> Result<(), Error> {
        let Some(predicted) = report.predicted.filter(|predicted| *predicted < 0.0) else {
            return Ok(());
        };
        let point = &slope.point;
        let after = point.value_at(1.0, delta)?;
        report.taken = after.is_some();
        let Some(period) = self.config.damping_period else { return Ok(()) };
        let omega = OMEGA.powf(period as f64);
        let Some(after) = after else {
            // At once: on the same batch every step before the next adaptation would end there too.
            next.damping /= omega;
            return Ok(());
        };
        if !next.step.is_multiple_of(period) {
            return Ok(());
        }
        let before = if slope.given { point.evaluated()? } else { point.value };
        let ratio = (after - before) / predicted;
        if ratio > GOOD_RATIO {
            next.damping *= omega;
        } else if ratio < BAD_RATIO {
            next.damping /= omega;
        }
        report.reduction_ratio = Some(ratio);
        Ok(())
    }
}

fn report<B: AutodiffBackend>(
    next: &Progress<B>,
    slope: &Slope<'_, B>,
    inverted: bool,
) -> KfacStep {
    KfacStep {
        step: next.step,
        value: slope.point.value,
        gradient_norm: slope.point.norm,
        damping: next.damping,
        gamma: next.gamma,
        alpha: 0.0,
        momentum: 0.0,
        predicted: None,
        reduction_ratio: None,
        limited: slope.share < 1.0,
        inverted,
        inversion: InversionReport::default(),
        taken: true,
    }
}
