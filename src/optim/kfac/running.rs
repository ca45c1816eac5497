//! K-FAC factors that are averaged over the steps, and the damped inverse that is computed from them periodically, on a
//! thread of its own if that is asked for.

use std::sync::{Arc, OnceLock};

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::KfacInverse;
use crate::{
    error::Error,
    kfac::{
        Ekfac, EkfacState, Factors, InversionReport, Kfac, KfacCollector, KfacInversion, KfacState,
    },
    objective::Objective,
    operator::{BlockDiagonal, Kronecker},
    optim::OptimizerError,
    panics::caught,
};

/// Averaged factors, on the device, with the inverse in use.
#[derive(Clone)]
pub(super) struct Running<B: AutodiffBackend> {
    /// The factors, and the blocks that come with them.
    pub factors: Average<B>,
    /// The other blocks of uncovered parameters, which are updated when inverses are computed.
    pub uncovered: Average<B>,
    pub inverted: Option<Inverted<B>>,
    /// Decompositions on a thread of their own, for the next inverse.
    pub pending: Option<Decomposition<B>>,
}

/// A moving average.
#[derive(Clone)]
pub(super) struct Average<B: AutodiffBackend> {
    pub value: Option<Factors<B>>,
    /// Number of its updates.
    pub updates: usize,
}

/// An inverse and its source.
#[derive(Clone)]
pub(super) struct Inverted<B: AutodiffBackend> {
    pub source: Source<B>,
    pub gamma: f64,
    pub map: BlockDiagonal<B, Kronecker<B>>,
    /// Where a factored inverse was computed.
    pub report: InversionReport,
}

/// The source of an inverse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Either<F, S> {
    Factors(F),
    /// By eigendecompositions, with corrected eigenvalues or those of the factors.
    Spectra(S),
}

pub(super) type Source<B> = Either<Kfac<B>, Ekfac<B>>;

/// The same as data.
pub(super) type SourceState = Either<KfacState, EkfacState>;

impl<B: AutodiffBackend> Average<B> {
    /// Averages a value in.
    pub fn update(&mut self, new: Factors<B>, decay: f64) -> Result<(), Error> {
        self.updates = self.updates.saturating_add(1);
        self.value = Some(match self.value.take() {
            Some(old) => old.averaged(&new, self.kept(decay))?,
            None => new,
        });
        Ok(())
    }

    /// ε = min(1 − 1/k, decay), the share of the old average that is kept at the k-th update.
    pub fn kept(&self, decay: f64) -> f64 {
        (1.0 - (self.updates.max(1) as f64).recip()).min(decay)
    }
}

impl<B: AutodiffBackend> Running<B> {
    pub fn new() -> Self {
        let [factors, uncovered] = [0, 0].map(|updates| Average { value: None, updates });
        Self { factors, uncovered, inverted: None, pending: None }
    }

    /// The source of inverses of the averaged factors, with their own eigenvalues.
    pub fn source(
        &self,
        (collector, objective): (&KfacCollector, &Objective<B>),
        kind: KfacInverse,
    ) -> Result<Option<Source<B>>, Error> {
        let kfac = self.kfac(collector, objective)?;
        let source = |kfac| match kind {
            KfacInverse::Factored => Ok(Source::Factors(kfac)),
            KfacInverse::Exact | KfacInverse::EigenvalueCorrected => {
                Ok(Source::Spectra(Ekfac::uncorrected(&kfac)?))
            }
        };
        kfac.map(source).transpose()
    }

    /// Switches to decompositions that are `finished` on all ranks, and starts others if they are due and none is in
    /// progress. Returns whether it switched, and the source of the next inverse.
    pub fn turn_to_background(
        &mut self,
        (collector, objective): (&KfacCollector, &Objective<B>),
        (due, finished): (bool, bool),
        before: Source<B>,
    ) -> Result<(bool, Source<B>), Error> {
        let done = self.pending.as_ref().filter(|_| finished);
        let done = done.map(Decomposition::result).transpose()?.flatten();
        let taken = done.is_some();
        if taken {
            self.pending = None;
        }
        if due && self.pending.is_none() {
            let kfac = self.kfac(collector, objective)?;
            self.pending = kfac.map(Decomposition::start).transpose()?;
        }
        Ok((taken, done.map_or(before, Source::Spectra)))
    }

    /// The current averages.
    pub fn kfac(
        &self,
        collector: &KfacCollector,
        objective: &Objective<B>,
    ) -> Result<Option<Kfac<B>>, Error> {
        let pair = self.factors.value.clone().zip(self.uncovered.value.clone());
        pair.map(|(factors, rest)| collector.kfac(objective, factors, rest)).transpose()
    }
}

impl<B: AutodiffBackend> Inverted<B> {
    /// (F̂ damped by γ)⁻¹; `inversion` is for factors alone.
    pub fn new(source: Source<B>, gamma: f64, inversion: KfacInversion) -> Result<Self, Error> {
        let damping = gamma * gamma;
        let (map, report) = match &source {
            Source::Factors(kfac) => kfac.factored_inverse_with(damping, inversion)?,
            Source::Spectra(ekfac) => (ekfac.inverse(damping)?, InversionReport::default()),
        };
        Ok(Self { source, gamma, map, report })
    }
}

impl<B: AutodiffBackend> Source<B> {
    /// Reads what is not on the host.
    pub fn state(&self) -> Result<SourceState, Error> {
        Ok(match self {
            Self::Factors(kfac) => SourceState::Factors(kfac.state()?),
            Self::Spectra(ekfac) => SourceState::Spectra(ekfac.state()?),
        })
    }

    pub fn from_state(objective: &Objective<B>, state: &SourceState) -> Result<Self, Error> {
        Ok(match state {
            SourceState::Factors(state) => Self::Factors(Kfac::from_state(objective, state)?),
            SourceState::Spectra(state) => Self::Spectra(Ekfac::from_state(objective, state)?),
        })
    }
}

/// Decompositions of all factors of a K-FAC, in progress or finished. Clones share them.
#[derive(Clone)]
pub(super) struct Decomposition<B: AutodiffBackend> {
    kfac: Kfac<B>,
    done: Arc<OnceLock<Result<(), Error>>>,
}

impl<B: AutodiffBackend> Decomposition<B> {
    /// Reads the factors and starts a thread, which computes on the host alone. Where there are no threads, the decompositions
    /// are made at once.
    pub fn start(kfac: Kfac<B>) -> Result<Self, Error> {
        kfac.read()?;
        let started = Self { kfac, done: Arc::default() };
        let own = started.clone();
        let thread = std::thread::Builder::new().name("K-FAC eigendecompositions".into());
        if thread.spawn(move || own.run()).is_err() {
            started.run();
        }
        Ok(started)
    }

    fn run(&self) {
        let made = caught(|| self.kfac.decompose());
        let failed = |message| OptimizerError::Decomposition { message }.into();
        self.done.get_or_init(|| made.unwrap_or_else(|message| Err(failed(message))));
    }

    /// Waits until they are done.
    pub fn wait(&self) {
        self.done.wait();
    }

    /// Whether they have ended, in a failure if not otherwise.
    pub fn is_done(&self) -> bool {
        self.done.get().is_some()
    }

    /// Why they failed, if they did.
    pub fn failure(&self) -> Option<Error> {
        self.done.get()?.clone().err()
    }

    /// K-FAC in its eigenbases, if they are done.
    pub fn result(&self) -> Result<Option<Ekfac<B>>, Error> {
        match self.done.get() {
            None => Ok(None),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(())) => Ekfac::uncorrected(&self.kfac).map(Some), // decomposed already
        }
    }
}
