//! K-FAC factors that are averaged over the steps, and the damped inverse that is computed from them periodically.

use burn_backend::AutodiffBackend;

use serde::{Deserialize, Serialize};

use super::KfacInverse;
use crate::{
    error::Error,
    kfac::{Ekfac, EkfacState, Factors, Kfac, KfacCollector, KfacState, UncoveredFactors},
    objective::Objective,
    operator::{BlockDiagonal, Kronecker},
};

/// Averaged factors, on the device, with the inverse in use.
#[derive(Clone)]
pub(super) struct Running<B: AutodiffBackend> {
    /// The moving average of the factors, and of the blocks that come with them.
    pub average: Option<Factors<B>>,
    /// Number of its updates.
    pub updates: usize,
    /// The moving average of the other blocks of uncovered parameters, which is updated when inverses are computed.
    pub uncovered: Option<UncoveredFactors<B>>,
    /// Number of its updates.
    pub refreshes: usize,
    pub inverted: Option<Inverted<B>>,
}

/// An inverse and its source.
#[derive(Clone)]
pub(super) struct Inverted<B: AutodiffBackend> {
    pub source: Source<B>,
    pub gamma: f64,
    pub map: BlockDiagonal<B, Kronecker<B>>,
}

/// What an inverse is computed from.
#[derive(Clone)]
pub(super) enum Source<B: AutodiffBackend> {
    Factored(Kfac<B>),
    Exact(Kfac<B>),
    Corrected(Ekfac<B>),
}

/// The same as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum SourceState {
    Factors(KfacState),
    Corrected(EkfacState),
}

impl<B: AutodiffBackend> Running<B> {
    pub fn new() -> Self {
        Self { average: None, updates: 0, uncovered: None, refreshes: 0, inverted: None }
    }

    /// Averages new factors in.
    pub fn update(&mut self, new: Factors<B>, decay: f64) -> Result<(), Error> {
        self.updates += 1;
        let kept = kept(self.updates, decay);
        self.average = Some(match self.average.take() {
            Some(old) => old.averaged(&new, kept)?,
            None => new,
        });
        Ok(())
    }

    /// Averages new blocks of the uncovered parameters in.
    pub fn refresh(
        &mut self,
        collector: &KfacCollector,
        objective: &Objective<B>,
        decay: f64,
    ) -> Result<(), Error> {
        let new = collector.uncovered(objective)?;
        self.refreshes += 1;
        let kept = kept(self.refreshes, decay);
        self.uncovered = Some(match self.uncovered.take() {
            Some(old) => old
                .iter()
                .zip(&new)
                .map(|(old, new)| old.averaged(new, kept))
                .collect::<Result<_, _>>()?,
            None => new,
        });
        Ok(())
    }

    /// Inverses of the averaged factors, one for each γ. The diagonal of an eigenvalue correction is not yet that of the
    /// step.
    pub fn invert(
        &self,
        (collector, objective): (&KfacCollector, &Objective<B>),
        kind: KfacInverse,
        gammas: &[f64],
    ) -> Result<Vec<Inverted<B>>, Error> {
        let Some(kfac) = self.kfac(collector, objective)? else {
            return Ok(Vec::new());
        };
        let source = Source::new(kfac, kind)?;
        let each = gammas.iter().map(|&gamma| Inverted::new(source.clone(), gamma));
        each.collect()
    }

    /// Averages the diagonal of the step's batch into that of an eigenvalue correction, in the bases of `inverses`, all of
    /// which have the same. Leaves other inverses as they are.
    pub fn correct(
        &self,
        collector: &KfacCollector,
        objective: &Objective<B>,
        (inverses, decay): (Vec<Inverted<B>>, f64),
    ) -> Result<Vec<Inverted<B>>, Error> {
        let Some(Source::Corrected(ekfac)) = inverses.first().map(|first| &first.source) else {
            return Ok(inverses);
        };
        let kept = kept(self.updates, decay);
        let ekfac = ekfac.averaged(collector, objective, kept)?;
        let each = inverses
            .iter()
            .map(|inverse| Inverted::new(Source::Corrected(ekfac.clone()), inverse.gamma));
        each.collect()
    }

    /// The current averages.
    pub fn kfac(
        &self,
        collector: &KfacCollector,
        objective: &Objective<B>,
    ) -> Result<Option<Kfac<B>>, Error> {
        let Some(factors) = &self.average else {
            return Ok(None);
        };
        let uncovered = self.uncovered.clone().unwrap_or_default();
        Ok(Some(collector.kfac(objective, factors.clone(), uncovered)?))
    }
}

impl<B: AutodiffBackend> Inverted<B> {
    pub fn new(source: Source<B>, gamma: f64) -> Result<Self, Error> {
        let damping = gamma * gamma;
        let map = match &source {
            Source::Factored(kfac) => kfac.factored_inverse(damping)?,
            Source::Exact(kfac) => kfac.inverse(damping)?,
            Source::Corrected(ekfac) => ekfac.inverse(damping)?,
        };
        Ok(Self { source, gamma, map })
    }
}

impl<B: AutodiffBackend> Source<B> {
    fn new(kfac: Kfac<B>, kind: KfacInverse) -> Result<Self, Error> {
        Ok(match kind {
            KfacInverse::Factored => Self::Factored(kfac),
            KfacInverse::Exact => Self::Exact(kfac),
            KfacInverse::EigenvalueCorrected => Self::Corrected(Ekfac::uncorrected(&kfac)?),
        })
    }

    /// Reads the diagonal of an eigenvalue correction.
    pub fn state(&self) -> Result<SourceState, Error> {
        Ok(match self {
            Self::Factored(kfac) | Self::Exact(kfac) => SourceState::Factors(kfac.state()?),
            Self::Corrected(ekfac) => SourceState::Corrected(ekfac.state()?),
        })
    }

    /// `None` if the state is that of another kind of inverse.
    pub fn from_state(
        objective: &Objective<B>,
        kind: KfacInverse,
        state: &SourceState,
    ) -> Result<Option<Self>, Error> {
        Ok(match (kind, state) {
            (KfacInverse::Factored | KfacInverse::Exact, SourceState::Factors(factors)) => {
                Some(Self::new(Kfac::from_state(objective, factors)?, kind)?)
            }
            (KfacInverse::EigenvalueCorrected, SourceState::Corrected(state)) => {
                Some(Self::Corrected(Ekfac::from_state(objective, state)?))
            }
            _ => None,
        })
    }
}

/// ε = min(1 − 1/k, decay), the share of the old average that is kept at the k-th update.
fn kept(updates: usize, decay: f64) -> f64 {
    (1.0 - (updates.max(1) as f64).recip()).min(decay)
}
