//! Which gradients of the layers' outputs the second factors are computed from.

use serde::{Deserialize, Serialize};

use crate::{
    derive::{Family, Metric},
    seeds::Seeds,
};

/// Which gradients of the layers' outputs G is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KfacFisher {
    /// The exact Fisher matrix of the outputs, without randomness ('type 2'): one backward pass for each column of its square
    /// root, of which there are as many as outputs.
    ///
    /// All samples of a batch are propagated back together, so only the rows of a layer separate their gradients. A
    /// layer whose rows reach several rows of the outputs is refused. Examples are the layers of a language model,
    /// where attention mixes the places of a sequence, and layers before a batch normalization in training mode.
    ///
    /// **Cost**: about a third of a gradient for each output, besides about one gradient for the factors of the inputs. In
    /// small benchmarks that was one to three gradients for up to ten outputs (five in a residual network on a busy machine),
    /// and 7 to 12 for a hundred. [`ExactWhereCheap`](Self::ExactWhereCheap) draws targets instead.
    Exact,
    /// [`Exact`](Self::Exact) where that takes few backward passes, otherwise **an estimate** by sampled targets
    /// ([`MonteCarlo`](Self::MonteCarlo)). The default.
    ///
    /// The exact matrix takes one backward pass for each output along the last dimension, and one fewer for classes.
    /// Targets are also drawn, however few the passes are, where the exact matrix is refused because rows of a layer reach
    /// several rows of the outputs, as in a language model: independent targets keep these apart.
    ///
    /// The estimate is unbiased, and the same seed draws the same targets. Its noise falls as 1/√(draws · samples), over all
    /// batches, and with the averaging of an optimizer, which draws others at every step.
    /// [`KfacCoverage::fisher`](crate::kfac::KfacCoverage::fisher) says which of the two was taken. Choose
    /// [`Exact`](Self::Exact) where an estimate is not acceptable, or more `passes` where factors are computed once
    /// ([`exact_up_to`](Self::exact_up_to)).
    ExactWhereCheap {
        /// The most backward passes that the exact matrix may take; with 0 targets are always drawn.
        passes: usize,
        /// Targets per sample where they are drawn, at least 1.
        draws: usize,
        /// Seed of the draws.
        seed: u64,
    },
    /// Targets sampled from the model: one backward pass per draw, about one gradient with the factors for one draw.
    MonteCarlo {
        /// Targets per sample, at least 1.
        draws: usize,
        /// Seed of the draws.
        seed: u64,
    },
    /// The targets in the data (the empirical Fisher matrix), with one gradient per sample. A sample is an index of the
    /// outputs' first dimension. A layer whose rows reach several samples is refused. The captured loss must use the stated reduction.
    Empirical,
    /// No gradients: G = I (Benzing 2022, 'FOOF').
    ForwardOnly,
}

impl KfacFisher {
    /// [`ExactWhereCheap`](Self::ExactWhereCheap) with at most `passes` backward passes, and the draws of the default
    /// elsewhere: for factors that are computed once, such as those of influence functions, where passes matter less.
    pub fn exact_up_to(passes: usize) -> Self {
        Self::ExactWhereCheap { passes, draws: DRAWS, seed: 0 }
    }

    /// The same with draws of their own for one of several steps; unchanged if nothing is drawn.
    pub(super) fn at_step(mut self, step: usize) -> Self {
        if let Self::MonteCarlo { seed, .. } | Self::ExactWhereCheap { seed, .. } = &mut self {
            *seed = Seeds::at(*seed, step as u64);
        }
        self
    }

    /// The metric in the outputs whose root is propagated back; `None` without gradients.
    pub(super) fn metric(self, family: Family) -> Option<Metric> {
        match self {
            Self::Exact => Some(Metric::Exact(family)),
            Self::MonteCarlo { draws, .. } | Self::ExactWhereCheap { draws, .. } => {
                Some(Metric::Drawn { family, draws })
            }
            Self::Empirical => Some(Metric::Empirical),
            Self::ForwardOnly => None,
        }
    }

    /// Draws and seed, if targets are drawn.
    pub(super) fn drawn(self) -> Option<(usize, u64)> {
        match self {
            Self::MonteCarlo { draws, seed } | Self::ExactWhereCheap { draws, seed, .. } => {
                Some((draws, seed))
            }
            Self::Exact | Self::Empirical | Self::ForwardOnly => None,
        }
    }
}

impl Default for KfacFisher {
    /// [`ExactWhereCheap`](Self::ExactWhereCheap) with 3 passes, or 2 draws.
    fn default() -> Self {
        Self::exact_up_to(PASSES)
    }
}

/// The most backward passes and the draws of the default.
const PASSES: usize = 3;
const DRAWS: usize = 2;
