//! ℒ(θ) of a captured loss on one batch or a data set: its value, its derivative products, and passes of derived programs.
//! Depends on `capture`, `derive` and `space`; independent of what a product is used for.

mod applicable;
mod at;
mod batch_error;
mod batches;
mod blocks;
mod capturing;
mod columns;
mod data;
mod data_space;
mod error;
mod evaluate;
mod excerpt;
mod guards;
mod index_bounds;
mod indices;
mod inputs;
mod likelihood;
mod listing;
mod memory;
mod not_finite;
mod on;
mod output_gradient;
mod pass;
mod prepared;
mod products;
mod programs;
mod ready;
mod reduction;
mod samples;
mod shared;
mod split_program;
mod stream;
mod together;
mod values;

pub use batch_error::BatchError;
pub(crate) use batches::Part;
pub use batches::Progress;
pub(crate) use capturing::layers_in_training_mode;
pub use capturing::{CaptureConfig, Engine, FaithfulnessError, Mode};
pub use error::ObjectiveError;
pub(crate) use error::is_not_finite;
pub(crate) use inputs::with_floats;
pub(crate) use pass::Checked;
pub(crate) use products::{Noise, PreparedProduct};
pub(crate) use programs::Derivation;
use reduction::Law;
pub use reduction::Reduction;
use shared::Share;
pub use shared::SharedError;
pub(crate) use shared::{Call, Contribution, Extent, Rows, Sent};

use std::sync::Arc;

use burn_backend::{AutodiffBackend, tensor::FloatTensor};

use crate::{
    error::Error,
    space::{ParamLayout, ParamVector, VectorError},
    tensor::{DefaultBackend, Operand, Precision},
};
use batches::{Observer, Parts};
use capturing::Recorder;
use prepared::PreparedProducts;
use values::Values;

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

/// The settings of an objective's passes.
#[derive(Clone)]
struct Settings {
    engine: Engine,
    /// Bytes an operator may keep between products, if chosen.
    memory_budget: Option<usize>,
    observer: Option<Observer>,
    /// What the loss does with the samples of a batch, if it was stated.
    law: Option<Law>,
    /// Whether a likelihood is compared with the loss.
    check_loss: bool,
    /// Whether the recorded gradient was compared with Burn's when the loss was captured.
    compared: bool,
    /// The ranks that have other batches, if any.
    share: Option<Share>,
}

impl Settings {
    fn new(engine: Engine, stated: Option<Reduction>) -> Self {
        let law = stated.map(Law::stated);
        Self {
            engine,
            memory_budget: None,
            observer: None,
            law,
            check_loss: true,
            compared: false,
            share: None,
        }
    }
}

/// A loss ℒ(θ) on one batch or over a data set, with its value and derivative products.
///
/// ```text
/// ℒ(θ) = loss(model_θ(x), y)      ∇ℒ(θ)      ∇²ℒ(θ)·v
/// ```
///
/// Made by [`Objective::capture`]; see there for an example. The reduction over samples is that of the closure: nothing is
/// rescaled. [`over`](Objective::over) extends the loss to a data set.
///
/// Cloning is cheap and shares the recordings.
#[derive(Clone)]
pub struct Objective<B: AutodiffBackend = DefaultBackend> {
    recorder: Arc<Recorder<B>>,
    values: Values<B>,
    parts: Parts<B>,
    settings: Settings,
    prepared: Arc<PreparedProducts<B>>,
    /// Identifies the parameters and batches; clones share it.
    point: Arc<()>,
}

impl<B: AutodiffBackend> std::fmt::Debug for Objective<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objective")
            .field("parameters", &self.layout().len())
            .field("precision", &self.precision())
            .field("engine", &self.engine())
            .field("data", &self.parts)
            .finish_non_exhaustive()
    }
}

/// A loss and its gradient at one θ.
#[derive(Clone, Debug)]
pub struct ValueAndGradient<B: AutodiffBackend = DefaultBackend> {
    /// ℒ(θ).
    pub value: f64,
    /// ∇ℒ(θ).
    pub gradient: ParamVector<B>,
}

impl<B: AutodiffBackend> Objective<B> {
    /// The parameters θ this objective is evaluated at.
    pub fn parameters(&self) -> &ParamVector<B> {
        &self.values.parameters
    }

    /// Names, shapes and order of the parameters.
    pub fn layout(&self) -> &Arc<ParamLayout> {
        self.parameters().layout()
    }

    /// The precision everything is computed in.
    pub fn precision(&self) -> Precision {
        self.values.precision()
    }

    /// The engine that computes products.
    pub fn engine(&self) -> Engine {
        self.settings.engine
    }

    /// Whether the recorded gradient was compared with Burn's when the loss was captured, and agreed.
    pub(crate) fn was_compared(&self) -> bool {
        self.settings.compared
    }

    /// Number of batches: 1, unless made by [`over`](Self::over). Those of this rank, if the objective is
    /// [shared](Self::shared).
    pub fn batches(&self) -> usize {
        if self.is_idle() { 0 } else { self.parts.len() }
    }

    /// The same objective for a loss that is meant to differ from the negative log-likelihood:
    /// [`Fisher`](crate::Fisher), [`Kfac`](crate::Kfac) and [`Ekfac`](crate::Ekfac) then do not compare it with the
    /// likelihood.
    #[must_use]
    #[inline(never)]
    pub fn without_loss_check(&self) -> Self {
        let mut other = self.clone();
        other.settings.check_loss = false;
        other
    }

    /// Whether both were captured once, from one closure.
    pub(crate) fn has_closure_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.recorder, &other.recorder)
    }

    /// The same objective with another engine for its products.
    #[must_use]
    #[inline(never)]
    pub fn with_engine(&self, engine: Engine) -> Self {
        let mut other = self.clone();
        other.settings.engine = engine;
        other
    }

    /// The same objective with another limit, in bytes, on what one operator keeps between products.
    ///
    /// The part of a product that does not depend on the vector is computed once per (θ, batch) and kept, batch by batch
    /// while the budget lasts; for the other batches it is recomputed for every product, at the cost of about half a
    /// gradient of the batch. 0 keeps nothing. The default is no limit for one batch and 1 GiB over a data set.
    ///
    /// Vectors that are multiplied together (`apply_many` of the operators) take at most the same amount while a program
    /// runs, and at most 1 GiB; with 0 they are multiplied one after another.
    #[must_use]
    #[inline(never)]
    pub fn with_memory_budget(&self, bytes: usize) -> Self {
        let mut other = self.with_parts(self.parts.clone());
        other.settings.memory_budget = Some(bytes);
        other
    }

    /// The same objective with an observer that is called after every batch of every pass.
    #[must_use]
    pub fn with_progress(&self, observer: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        let mut other = self.clone();
        other.settings.observer = Some(Arc::new(observer));
        other
    }

    /// The same loss on other batches; nothing that was prepared is kept.
    #[inline(never)]
    fn with_parts(&self, parts: Parts<B>) -> Self {
        Self { parts, prepared: Arc::default(), point: Arc::default(), ..self.clone() }
    }

    fn expect_compatible(&self, vector: &ParamVector<B>) -> Result<(), VectorError> {
        self.parameters().expect_like(vector)
    }

    /// The inputs of a batch's programs, if its recording applies.
    fn inputs(&self, part: &Part<B>) -> Result<Operands<B>, Error> {
        self.expect_same_way(part)?;
        Ok(self.operands(part))
    }

    fn operands(&self, part: &Part<B>) -> Operands<B> {
        self.values.inputs(&part.batch.operands)
    }

    fn vector(&self, blocks: Operands<B>) -> Result<ParamVector<B>, Error> {
        let blocks: Vec<FloatTensor<B::InnerBackend>> = blocks
            .into_iter()
            .filter_map(|operand| match operand {
                Operand::Float(tensor) => Some(tensor),
                Operand::Int(_) | Operand::Bool(_) => None,
            })
            .collect();
        Ok(ParamVector::from_blocks(self.layout(), blocks)?)
    }
}
