//! The size of a step: by the quadratic model, or by a learning rate and its limit.

use burn_backend::AutodiffBackend;

use super::{
    KfacOptimizer, Progress, StepRule,
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

/// A step with its components.
pub(super) struct Chosen<B: AutodiffBackend> {
    pub inverse: Inverted<B>,
    pub delta: ParamVector<B>,
    pub alpha: f64,
    pub momentum: f64,
    pub predicted: Option<f64>,
    /// Whether the limit shortened it.
    pub limited: bool,
}

impl<B: AutodiffBackend> KfacOptimizer<B> {
    /// The lowest point of the quadratic model over all candidates.
    pub(super) fn by_model(
        &self,
        next: &Progress<B>,
        objective: &Objective<B>,
        (slope, momentum): (&Slope<B>, bool),
        candidates: Vec<Candidate<B>>,
    ) -> Result<Chosen<B>, Error> {
        let fisher = Fisher::exact(objective, self.likelihood)?;
        let damping = next.damping + self.config.weight_decay;
        let model = QuadraticModel::new(&fisher, &slope.gradient, damping);
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
            Some(previous) => delta.axpy(lowest.momentum, previous.vector())?,
            None => delta,
        };
        Ok(Chosen {
            inverse: candidate.inverse,
            delta,
            alpha: lowest.alpha,
            momentum: lowest.momentum,
            predicted: Some(lowest.value),
            limited: false,
        })
    }

    /// rate·ν·Δ + momentum·δ₀
    pub(super) fn by_rate(
        &self,
        next: &Progress<B>,
        slope: &Slope<B>,
        candidates: Vec<Candidate<B>>,
    ) -> Result<Chosen<B>, Error> {
        let candidate = first(candidates)?;
        let (rate, momentum, limit) = match self.config.rule {
            StepRule::LearningRate { rate, momentum, limit } => (rate, momentum, limit),
            StepRule::QuadraticModel { .. } => (1.0, 0.0, None),
        };
        let change = candidate.change(slope)?;
        let nu = limit.map_or(1.0, |limit| (limit / (rate * rate * change)).sqrt().min(1.0));
        // A rate of zero, at the end of a schedule, is no step.
        let momentum = if rate > 0.0 { momentum } else { 0.0 };
        let delta = candidate.direction.scale(rate * nu);
        let delta = match &next.previous {
            Some(previous) if momentum > 0.0 => delta.axpy(momentum, previous)?,
            _ => delta,
        };
        Ok(Chosen {
            inverse: candidate.inverse,
            delta,
            alpha: rate * nu,
            momentum: next.previous.as_ref().map_or(0.0, |_| momentum),
            predicted: None,
            limited: nu < 1.0,
        })
    }
}

pub(super) fn first<B: AutodiffBackend>(
    candidates: Vec<Candidate<B>>,
) -> Result<Candidate<B>, Error> {
    let first = candidates.into_iter().next();
    first.ok_or_else(|| ObjectiveError::NoBatches.into())
}
