//! K-FAC factors that are averaged over the steps, and the damped inverse that is made of them now and then. Knows
//! factors, not steps.

use burn_backend::AutodiffBackend;

use super::KfacInverse;
use crate::{
    curvature::{DeviceFactors, ExactBlocks, Kfac, KfacCollector, KfacMap},
    error::Error,
    objective::Objective,
};

/// Averaged factors, on the device, with the inverse in use.
#[derive(Clone)]
pub(super) struct Running<B: AutodiffBackend> {
    /// The moving average of the layers' factors.
    pub average: Option<DeviceFactors<B>>,
    /// Updates of that so far.
    pub updates: usize,
    /// The moving average of the blocks of other parameters, which is made when inverses are.
    pub beside: Option<ExactBlocks>,
    /// Updates of that so far.
    pub refreshes: usize,
    pub inverted: Option<Inverted<B>>,
}

/// An inverse and what it was made of.
#[derive(Clone)]
pub(super) struct Inverted<B: AutodiffBackend> {
    pub kfac: Kfac<B>,
    pub gamma: f64,
    pub map: KfacMap<B>,
}

impl<B: AutodiffBackend> Running<B> {
    pub fn new() -> Self {
        Self {
            average: None,
            updates: 0,
            beside: None,
            refreshes: 0,
            inverted: None,
        }
    }

    /// Averages new factors in.
    pub fn update(&mut self, new: DeviceFactors<B>, decay: f64) -> Result<(), Error> {
        self.updates += 1;
        self.average = Some(match self.average.take() {
            Some(average) => average.averaged(&new, kept(self.updates, decay))?,
            None => new,
        });
        Ok(())
    }

    /// Averages new blocks of the parameters of no layer in.
    pub fn refresh(
        &mut self,
        collector: &KfacCollector,
        objective: &Objective<B>,
        decay: f64,
    ) -> Result<(), Error> {
        let new = collector.exact_blocks(objective)?;
        self.refreshes += 1;
        self.beside = Some(match self.beside.take() {
            Some(average) => average.averaged(&new, kept(self.refreshes, decay)),
            None => new,
        });
        Ok(())
    }

    /// Inverses of the averaged factors, one for each γ.
    pub fn invert(
        &self,
        (collector, objective): (&KfacCollector, &Objective<B>),
        kind: KfacInverse,
        gammas: &[f64],
    ) -> Result<Vec<Inverted<B>>, Error> {
        let Some(kfac) = self.kfac(collector, objective)? else {
            return Ok(Vec::new());
        };
        let each = gammas
            .iter()
            .map(|&gamma| Inverted::new(kfac.clone(), kind, gamma));
        each.collect()
    }

    /// The averages as they are.
    pub fn kfac(
        &self,
        collector: &KfacCollector,
        objective: &Objective<B>,
    ) -> Result<Option<Kfac<B>>, Error> {
        let Some(factors) = &self.average else {
            return Ok(None);
        };
        let beside = self.beside.clone().unwrap_or_default();
        Ok(Some(collector.kfac(objective, factors, beside)?))
    }
}

impl<B: AutodiffBackend> Inverted<B> {
    pub fn new(kfac: Kfac<B>, kind: KfacInverse, gamma: f64) -> Result<Self, Error> {
        let damping = gamma * gamma;
        let map = match kind {
            KfacInverse::Factored => kfac.factored_inverse(damping)?,
            KfacInverse::Exact => kfac.inverse(damping)?,
        };
        Ok(Self { kfac, gamma, map })
    }
}

/// ε = min(1 − 1/k, decay) of the old average stays at the k-th update.
fn kept(updates: usize, decay: f64) -> f64 {
    (1.0 - (updates.max(1) as f64).recip()).min(decay)
}
