//! The size of a step: by the quadratic model, or by a learning rate and its limit.

use burn_backend::AutodiffBackend;

use super::{
    KfacOptimizer, KfacStep, Progress,
    model::{Lowest, QuadraticModel},
    running::Inverted,
    step::{Candidate, Slope},
};
use crate::{
    curvature::Fisher,
    error::Error,
    objective::{Objective, ObjectiveError},
    space::ParamVector,
};

/// A step δ, and the inverse that gave its direction.
pub(super) type Chosen<B> = (Inverted<B>, ParamVector<B>);

impl<B: AutodiffBackend> KfacOptimizer<B> {
    /// The lowest point of the quadratic model over all candidates.
    pub(super) fn by_model(
        &self,
        next: &Progress<B>,
        objective: &Objective<B>,
        (slope, momentum): (&Slope<'_, B>, bool),
        candidates: Vec<Candidate<B>>,
        report: &mut KfacStep,
    ) -> Result<Chosen<B>, Error> {
        let fisher = Fisher::exact(objective, self.likelihood)?;
        let damping = next.damping + self.config.weight_decay;
        let model = QuadraticModel { fisher, gradient: &slope.point.gradient, damping };
        let previous = next.previous.clone().filter(|_| momentum);
        let previous = previous.map(|previous| model.direction(previous)).transpose()?;
        let mut best: Option<(Candidate<B>, Lowest)> = None;
        for candidate in candidates {
            let direction = model.direction(candidate.direction.clone())?;
            let lowest = model.lowest(&direction, previous.as_ref())?;
            if best.as_ref().is_none_or(|(_, best)| lowest.value < best.value) {
                best = Some((candidate, lowest));
            }
        }
        let (candidate, lowest) = best.ok_or(ObjectiveError::NoBatches)?;
        let delta = candidate.direction.scale(lowest.alpha);
        let delta = match &previous {
            Some(previous) => delta.axpy(lowest.momentum, &previous.vector)?,
            None => delta,
        };
        (report.alpha, report.momentum) = (lowest.alpha, lowest.momentum);
        report.predicted = Some(lowest.value);
        Ok((candidate.inverse, delta))
    }

    /// rate·ν·Δ + momentum·δ₀
    pub(super) fn by_rate(
        &self,
        next: &Progress<B>,
        slope: &Slope<'_, B>,
        (rate, momentum, limit): (f64, f64, Option<f64>),
        candidates: Vec<Candidate<B>>,
        report: &mut KfacStep,
    ) -> Result<Chosen<B>, Error> {
        let candidate = first(candidates)?;
        let change = candidate.change(slope)?;
        let nu = limit.map_or(1.0, |limit| (limit / (rate * rate * change)).sqrt().min(1.0));
        // A rate of zero, at the end of a schedule, is no step.
        let momentum = if rate > 0.0 { momentum } else { 0.0 };
        (report.alpha, report.limited) = (rate * nu, report.limited || nu < 1.0);
        let mut delta = candidate.direction.scale(report.alpha);
        if let Some(previous) = next.previous.as_ref().filter(|_| momentum > 0.0) {
            report.momentum = momentum;
            delta = delta.axpy(momentum, previous)?;
        }
        Ok((candidate.inverse, delta))
    }
}

pub(super) fn first<B: AutodiffBackend>(
    candidates: Vec<Candidate<B>>,
) -> Result<Candidate<B>, Error> {
    let first = candidates.into_iter().next();
    first.ok_or_else(|| ObjectiveError::NoBatches.into())
}
