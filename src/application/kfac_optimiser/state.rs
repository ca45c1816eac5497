//! The optimiser's state as data: saved and loaded.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{KfacOptimiser, running::Inverted};
use crate::{
    application::ApplicationError,
    curvature::{Kfac, KfacState},
    error::Error,
    numbers,
    params::ParamVector,
};

/// All that a [`KfacOptimiser`] carries from one step to the next, to be saved with serde.
///
/// Numbers come back bit by bit from any format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KfacOptimiserState {
    step: usize,
    #[serde(with = "numbers::one")]
    damping: f64,
    #[serde(with = "numbers::one")]
    gamma: f64,
    /// The step before.
    #[serde(with = "numbers::optional")]
    previous: Option<Vec<f64>>,
    /// The moving average, and how many updates it is of: of layers, of other parameters.
    average: Option<KfacState>,
    updates: [usize; 2],
    inverted: Option<InvertedState>,
}

/// What the inverse in use was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct InvertedState {
    factors: KfacState,
    #[serde(with = "numbers::one")]
    gamma: f64,
}

impl KfacOptimiserState {
    /// Steps so far.
    pub fn step(&self) -> usize {
        self.step
    }
}

impl<B: AutodiffBackend> KfacOptimiser<B> {
    /// What is carried from one step to the next. Reads the averaged factors from the device.
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
            average: running
                .kfac(&self.collector, &self.objective)?
                .map(|kfac| kfac.state())
                .transpose()?,
            updates: [running.updates, running.refreshes],
            inverted: match &running.inverted {
                Some(inverted) => Some(InvertedState {
                    factors: inverted.kfac.state()?,
                    gamma: inverted.gamma,
                }),
                None => None,
            },
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
        let running = &mut progress.running;
        [running.updates, running.refreshes] = state.updates;
        (running.average, running.beside) = match &state.average {
            Some(average) => {
                let kfac = Kfac::from_state(&self.objective, average)?;
                let (factors, beside) = self.collector.uploaded(&kfac)?;
                (Some(factors), Some(beside))
            }
            None => (None, None),
        };
        running.inverted = match &state.inverted {
            Some(inverted) => {
                let kfac = Kfac::from_state(&self.objective, &inverted.factors)?;
                Some(Inverted::new(kfac, self.config.inverse, inverted.gamma)?)
            }
            None => None,
        };
        self.progress = progress;
        Ok(())
    }
}
