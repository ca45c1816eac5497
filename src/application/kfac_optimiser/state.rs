//! The optimiser's state as data: saved and loaded.

use std::sync::Arc;

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::KfacOptimiser;
use crate::{
    application::ApplicationError, curvature::KfacState, error::Error, params::ParamVector,
};

/// All that a [`KfacOptimiser`] carries from one step to the next, to be saved with serde.
///
/// Numbers are kept as they are: a format that writes every digit, as JSON by `serde_json` with its feature
/// `float_roundtrip` or any binary one, resumes exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KfacOptimiserState {
    step: usize,
    damping: f64,
    gamma: f64,
    /// The step before.
    previous: Option<Vec<f64>>,
    /// Updates of the moving average.
    updates: usize,
    average: Option<KfacState>,
    /// What the inverse in use was made of, and its γ.
    inverted: Option<(KfacState, f64)>,
}

impl KfacOptimiserState {
    /// Steps so far.
    pub fn step(&self) -> usize {
        self.step
    }
}

impl<B: AutodiffBackend> KfacOptimiser<B> {
    /// What is carried from one step to the next.
    ///
    /// # Errors
    /// A step that cannot be read from the device.
    pub fn state(&self) -> Result<KfacOptimiserState, Error> {
        let progress = &self.progress;
        let running = &progress.running;
        let previous = progress.previous.as_ref();
        Ok(KfacOptimiserState {
            step: progress.step,
            damping: progress.damping,
            gamma: progress.gamma,
            previous: previous.map(ParamVector::to_vec).transpose()?,
            updates: running.updates,
            average: running.average.as_deref().cloned(),
            inverted: running
                .inverted
                .as_ref()
                .map(|inverted| (KfacState::clone(&inverted.factors), inverted.gamma)),
        })
    }

    /// Goes on from a saved state. The optimiser stays as it is where the state does not fit.
    pub(super) fn load(&mut self, state: &KfacOptimiserState) -> Result<(), Error> {
        let wrong = |reason| Err(Error::from(ApplicationError::State { reason }));
        if !(state.damping > 0.0 && state.damping.is_finite()) {
            return wrong("its damping is not a finite number above zero");
        }
        if !(state.gamma > 0.0 && state.gamma.is_finite()) {
            return wrong("its γ is not a finite number above zero");
        }
        let like = self.objective.parameters();
        let mut progress = self.progress.clone();
        progress.step = state.step;
        progress.damping = state.damping;
        progress.gamma = state.gamma;
        progress.previous = match &state.previous {
            Some(previous) if previous.len() != like.len() => {
                return wrong("its last step has another number of parameters");
            }
            Some(previous) => Some(like.from_vec_like(previous)?),
            None => None,
        };
        progress.running.updates = state.updates;
        progress.running.average = state.average.clone().map(Arc::new);
        if let Some((factors, gamma)) = &state.inverted {
            let source = (Arc::new(factors.clone()), *gamma);
            progress
                .running
                .load(&self.objective, self.config.inverse, source)?;
        }
        self.progress = progress;
        Ok(())
    }
}
