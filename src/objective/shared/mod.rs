//! One objective over the batches of several ranks: every sum over batches becomes one over ranks as well.

mod element;
mod error;
mod extent;
mod message;
mod rows;
mod stamp;
mod training;
mod vectors;
mod weights;

pub use error::SharedError;
pub(crate) use extent::Extent;
pub(crate) use message::{Contribution, Sent};
pub(crate) use rows::Rows;
pub(crate) use stamp::Call;
pub(super) use stamp::{print_of, print_tensor};

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{Objective, ObjectiveError, Reduction};
use crate::{
    communicator::{Communicator, Ranks},
    error::Error,
    space::ParamBlock,
};
use message::MOST_RANKS;
use stamp::printed;

/// How an objective is shared.
#[derive(Clone, Debug)]
pub(super) struct Share {
    ranks: Arc<Ranks>,
    /// Distinguishes this objective from others that the same ranks share.
    number: u64,
    /// Where this rank's batches are among all; unknown before the reduction is.
    numbering: Option<Numbering>,
    /// Whether this rank works on its batches alone for now.
    here: bool,
}

/// The batches of one rank among those of all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    /// Batches of the ranks before this one.
    pub first: usize,
    /// The largest number of batches that a rank has.
    pub terms: usize,
    /// Whether this rank has none. It holds one to derive programs from, and evaluates nothing.
    pub idle: bool,
}

impl Share {
    pub fn numbering(&self) -> Result<Numbering, ObjectiveError> {
        self.numbering.ok_or(ObjectiveError::NoReduction)
    }

    /// The error of a call in which a rank failed: its own one on that rank, on the others that of the first rank that
    /// failed. Collective.
    fn failure(&self, own: Option<Error>) -> Result<Error, Error> {
        let lost = |error: &Error| {
            matches!(error.downcast_ref(), Some(ObjectiveError::NotFiniteLoss { .. }))
        };
        let code = own.as_ref().map_or(0, |error| 1 + u64::from(lost(error)));
        let codes = self.ranks.gather(&[code])?;
        let mut failed = codes.iter().enumerate().filter(|(_, code)| **code != [0]);
        let (rank, code) = failed.next().map_or((0, 0), |(rank, code)| (rank, code[0]));
        let text = own.as_ref().map(ToString::to_string).unwrap_or_default();
        let message = self.ranks.broadcast(rank, &text)?;
        Ok(match own {
            Some(own) => own,
            None if code == 2 => {
                let value = format!("not finite on rank {rank}");
                ObjectiveError::NotFiniteLoss { value, inputs: None }.into()
            }
            None => SharedError::OtherRank { rank, message }.into(),
        })
    }
}

impl<B: AutodiffBackend> Objective<B> {
    /// The same loss over the batches of all ranks of a communicator: threads or processes that each hold a share of the
    /// data.
    ///
    /// ```text
    /// Sum    ℒ = Σ_r ℒ_r              Mean    ℒ = Σ_r (N_r / N) ℒ_r,    N = Σ_r N_r
    /// ```
    ///
    /// Value, gradient, products, K-FAC factors and everything computed from them equal those of one process that takes the
    /// shares one after another, up to rounding, and have the same bits on all ranks. All ranks hold θ and the
    /// vectors, and run the same program. Vectors over the data ([`outputs`](Self::outputs), [`Jacobian`](crate::Jacobian))
    /// are whole on every rank too, with a block for each batch of every rank.
    ///
    /// *Collective*: all ranks call this and, afterwards, `value`, `gradient`, products, operators, solvers and optimizers in
    /// the same order. [`on`](Self::on), [`over`](Self::over) and [`over_stream`](Self::over_stream) of a shared
    /// objective are collective too and take this rank's share, which may be empty for the latter two. The captured batch
    /// counts only if none of them is called. With a single rank the objective is as if not shared.
    ///
    /// Memory budget and progress are this rank's own. How to start ranks: [`communicator`](crate::communicator).
    ///
    /// # Cost
    /// A call costs what its rank's batches cost, and one message: of n elements for a gradient or product, and of the
    /// triangles of K-FAC's factors. Every message has a fingerprint of θ and of the vectors, read back from the device.
    ///
    /// # Errors
    /// On all ranks: [`SharedError::Differs`] if layout, precision, reduction, θ or the buffers of the models differ;
    /// [`SharedError::Again`]; [`SharedError::NoSuchRank`];
    /// [`CommunicatorError`](crate::communicator::CommunicatorError). Later, from any collective call:
    /// [`SharedError::OtherRank`] if it failed on another rank, [`SharedError::OtherCall`] and [`SharedError::Differs`]
    /// if ranks diverge.
    ///
    /// # Example
    /// ℒ = ½ mean (w − y)² over two ranks, with three samples and one: H = 1 and ∇ℒ = w − mean y.
    ///
    /// ```
    /// use burn::{module::Param, prelude::*};
    /// use burn_curvature::{Error, Objective, Reduction, communicator::{Communicator, Threads}};
    ///
    /// #[derive(Module, Debug)]
    /// struct Mean {
    ///     w: Param<Tensor<2>>,
    /// }
    ///
    /// let gradients = Threads::run(2, |ranks| {
    ///     let device = Device::default().autodiff();
    ///     let model = Mean { w: Param::from_tensor(Tensor::zeros([1, 1], &device)) };
    ///     let y = Tensor::<2>::from_floats([[1.0], [2.0], [3.0], [6.0]], &device);
    ///     let mine = if ranks.rank() == 0 { y.slice([0..3]) } else { y.slice([3..4]) };
    ///     let objective = Objective::capture(&model, mine.clone(), |model, y| {
    ///         (model.w.val().expand(y.dims()) - y).powf_scalar(2.0).mean() * 0.5
    ///     })?;
    ///     let risk = objective.shared(ranks)?.over([mine], Reduction::Mean)?;
    ///     Ok::<_, Error>(risk.gradient()?.to_vec()?)
    /// });
    /// for gradient in gradients {
    ///     assert_eq!(gradient.unwrap(), [-3.0]); // 0 − (1 + 2 + 3 + 6) / 4
    /// }
    /// ```
    pub fn shared<C: Communicator + 'static>(&self, communicator: Arc<C>) -> Result<Self, Error> {
        if self.settings.share.is_some() {
            return Err(SharedError::Again.into());
        }
        let ranks = Ranks::of(communicator);
        match ranks.size() {
            0 | 1 => return Ok(self.clone()),
            found if found > MOST_RANKS => {
                return Err(SharedError::TooMany { found, most: MOST_RANKS }.into());
            }
            size if ranks.rank() >= size => {
                return Err(SharedError::NoSuchRank { rank: ranks.rank(), size }.into());
            }
            _ => {}
        }
        let mut shared = self.with_parts(self.parts.clone());
        let share = Share { number: ranks.number(), ranks, numbering: None, here: false };
        let facts = self.facts();
        let words = facts.as_ref().map_or([0; FACTS.len()], |facts| *facts);
        let failed = u64::from(facts.is_err());
        let words: Vec<u64> = [failed].into_iter().chain(words).collect();
        let all = share.ranks.gather(&words)?;
        if all.iter().any(|words| words[0] != 0) {
            return Err(share.failure(facts.err())?);
        }
        for (at, (what, advice)) in FACTS.into_iter().enumerate() {
            let word = |words: &Vec<u64>| words[at + 1];
            let differs = |(_, words): &(usize, &Vec<u64>)| word(words) != word(&all[0]);
            let ranks: Vec<usize> =
                all.iter().enumerate().filter(differs).map(|(rank, _)| rank).collect();
            if !ranks.is_empty() {
                return Err(SharedError::Differs { what, ranks, advice }.into());
            }
        }
        shared.settings.share = Some(share);
        match self.reduction() {
            Some(reduction) => shared.sharing(Ok(shared.clone()), reduction),
            None => Ok(shared),
        }
    }

    /// Whether other ranks have batches of this objective.
    pub fn is_shared(&self) -> bool {
        self.share().is_some()
    }

    /// The ranks to sum over.
    fn share(&self) -> Option<&Share> {
        self.settings.share.as_ref().filter(|share| !share.here)
    }

    /// What the ranks must agree on, in 64 bits each.
    fn facts(&self) -> Result<[u64; FACTS.len()], Error> {
        let blocks = self.layout().blocks().iter();
        let layout: Vec<_> = blocks
            .map(|block: &ParamBlock| (block.name().to_string(), block.shape().to_vec()))
            .collect();
        let mut buffers = 0;
        for buffer in self.values.buffers.values() {
            buffers = print_tensor::<B>(buffer.clone(), buffers)?;
        }
        let reduction = match self.reduction() {
            None => 0,
            Some(Reduction::Sum) => 1,
            Some(Reduction::Mean) => 2,
        };
        let precision = printed(&self.precision().to_string());
        Ok([printed(&layout), precision, reduction, self.values.print()?, buffers])
    }

    /// Another objective of the same ranks, with a number of its own.
    pub(super) fn numbered_anew(mut self) -> Self {
        if let Some(share) = self.settings.share.as_mut().filter(|share| !share.here) {
            share.number = share.ranks.number();
        }
        self
    }

    /// Whether this rank has no batches.
    pub(super) fn is_idle(&self) -> bool {
        self.numbering().is_some_and(|numbering| numbering.idle)
    }

    /// The number of a batch among those of all ranks.
    pub(crate) fn number_of(&self, index: usize) -> usize {
        self.numbering().map_or(index, |numbering| numbering.first + index)
    }

    /// The largest number of batches that a rank has.
    pub(crate) fn terms(&self) -> usize {
        self.numbering().map_or(self.batches(), |numbering| numbering.terms)
    }

    fn numbering(&self) -> Option<Numbering> {
        self.settings.share.as_ref().and_then(|share| share.numbering)
    }
}

/// What the ranks must agree on, and what to do if they do not.
const FACTS: [(&str, &str); 5] = [
    ("the layout of the parameters", "capture the same model on all ranks"),
    ("the precision", "call `in_f64` on all ranks or none"),
    ("the reduction", "state the same reduction on all ranks"),
    ("θ", "initialize the models with the same seed, or load the same record on all ranks"),
    (
        "the tensors of the model besides θ, in their values,",
        "load the same record on all ranks, running statistics and frozen weights included",
    ),
];
