//! K-FAC factors that are averaged over the steps, and the damped inverse that is made of them now and then. Knows
//! factors, not steps.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::KfacInverse;
use crate::{
    curvature::{Kfac, KfacMap, KfacState},
    error::Error,
    objective::Objective,
};

/// Averaged factors with the inverse in use.
pub(super) struct Running<B: AutodiffBackend> {
    /// The moving average.
    pub average: Option<Arc<KfacState>>,
    /// Updates of the average so far.
    pub updates: usize,
    pub inverted: Option<Inverted<B>>,
}

/// An inverse and what it was made of.
pub(super) struct Inverted<B: AutodiffBackend> {
    pub factors: Arc<KfacState>,
    pub gamma: f64,
    pub map: KfacMap<B>,
}

impl<B: AutodiffBackend> Running<B> {
    pub fn new() -> Self {
        Self {
            average: None,
            updates: 0,
            inverted: None,
        }
    }

    /// Averages new factors in: ε = min(1 − 1/k, decay) of the old ones stays.
    pub fn update(&mut self, new: KfacState, decay: f64) -> Result<(), Error> {
        self.updates += 1;
        let kept = (1.0 - (self.updates as f64).recip()).min(decay);
        let average = match &self.average {
            Some(average) => average.averaged(&new, kept)?,
            None => new,
        };
        self.average = Some(Arc::new(average));
        Ok(())
    }

    /// Inverses of the averaged factors, one for each γ.
    pub fn invert(
        &self,
        objective: &Objective<B>,
        kind: KfacInverse,
        gammas: &[f64],
    ) -> Result<Vec<Inverted<B>>, Error> {
        let Some(factors) = &self.average else {
            return Ok(Vec::new());
        };
        let kfac = Kfac::from_state(objective, factors)?;
        let each = gammas.iter().map(|&gamma| {
            Ok(Inverted {
                factors: Arc::clone(factors),
                gamma,
                map: inverse(&kfac, kind, gamma)?,
            })
        });
        each.collect()
    }

    /// Puts saved factors in place.
    pub fn load(
        &mut self,
        objective: &Objective<B>,
        kind: KfacInverse,
        (factors, gamma): (Arc<KfacState>, f64),
    ) -> Result<(), Error> {
        let kfac = Kfac::from_state(objective, &factors)?;
        self.inverted = Some(Inverted {
            map: inverse(&kfac, kind, gamma)?,
            factors,
            gamma,
        });
        Ok(())
    }
}

fn inverse<B: AutodiffBackend>(
    kfac: &Kfac<B>,
    kind: KfacInverse,
    gamma: f64,
) -> Result<KfacMap<B>, Error> {
    match kind {
        KfacInverse::Factored => kfac.factored_inverse(gamma * gamma),
        KfacInverse::Exact => kfac.inverse(gamma * gamma),
    }
}

impl<B: AutodiffBackend> Clone for Running<B> {
    fn clone(&self) -> Self {
        Self {
            average: self.average.clone(),
            updates: self.updates,
            inverted: self.inverted.clone(),
        }
    }
}

impl<B: AutodiffBackend> Clone for Inverted<B> {
    fn clone(&self) -> Self {
        Self {
            factors: Arc::clone(&self.factors),
            gamma: self.gamma,
            map: self.map.clone(),
        }
    }
}
