//! Eigendecompositions of factors on a thread of their own, while steps continue with the previous inverse.

use std::sync::{Arc, OnceLock};

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    kfac::{Ekfac, Kfac},
    optim::OptimizerError,
    panics::caught,
};

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
