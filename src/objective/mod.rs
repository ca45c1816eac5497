//! ℒ(θ) of a traced model on one batch or a data set: its value and its derivative products. Knows programs and
//! vectors, not what a product is wanted for.

mod config;
mod data;
mod error;
mod factors;
mod faithfulness;
mod guards;
mod parts;
mod prepared;
mod products;
mod programs;
mod reduction;
mod source;
mod squares;
mod trace_model;
mod visit;

pub use config::{CaptureConfig, Engine, Mode};
pub use error::ObjectiveError;
pub(crate) use factors::{LayerMoments, MomentPass, NetworkLayers};
pub(crate) use parts::Part;
pub use parts::Progress;
pub(crate) use products::{Noise, PreparedProduct};
pub use reduction::Reduction;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use burn_backend::{AutodiffBackend, tensor::FloatTensor};

use crate::{
    derive::Product,
    error::Error,
    graph::{Kind, ValueType},
    space::{ParamLayout, ParamVector, VectorError},
    tensor::{Operand, Precision},
};
use config::Settings;
use parts::Parts;
use programs::ProgramSet;
use source::Source;

/// Types of the batch, and the precision.
type ProgramKey = (Vec<ValueType>, Precision);

/// The programs made so far, by the types of the batch and the precision.
pub(crate) struct Recorder<B: AutodiffBackend> {
    /// Kinds and ranks of the tensors of a batch.
    kinds: Vec<(Kind, usize)>,
    source: Mutex<Box<dyn Source>>,
    programs: Mutex<HashMap<ProgramKey, Arc<ProgramSet<B>>>>,
}

/// A loss ℒ(θ) on one batch or over a data set, with its value and derivative products.
///
/// ```text
/// ℒ(θ) = loss(model_θ(x), y)      ∇ℒ(θ)      ∇²ℒ(θ)·v
/// ```
///
/// Made by [`Objective::trace`]; see there for an example. The reduction over samples is the one in the traced
/// closure: nothing is rescaled. [`over`](Objective::over) extends it to a data set.
///
/// Cloning is cheap and shares the recordings.
pub struct Objective<B: AutodiffBackend> {
    recorder: Arc<Recorder<B>>,
    parameters: ParamVector<B>,
    parts: Parts<B>,
    settings: Settings,
    hessian: PreparedProduct<B>,
    /// Stands for the parameters and batches; clones share it.
    point: Arc<()>,
}

impl<B: AutodiffBackend> Clone for Objective<B> {
    fn clone(&self) -> Self {
        Self {
            recorder: Arc::clone(&self.recorder),
            parameters: self.parameters.clone(),
            parts: self.parts.clone(),
            settings: self.settings.clone(),
            hessian: self.hessian.clone(),
            point: Arc::clone(&self.point),
        }
    }
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
pub struct ValueAndGradient<B: AutodiffBackend> {
    /// ℒ(θ).
    pub value: f64,
    /// ∇ℒ(θ).
    pub gradient: ParamVector<B>,
}

impl<B: AutodiffBackend> Objective<B> {
    /// The parameters θ this objective is evaluated at.
    pub fn parameters(&self) -> &ParamVector<B> {
        &self.parameters
    }

    /// Names, shapes and order of the parameters.
    pub fn layout(&self) -> &Arc<ParamLayout> {
        self.parameters.layout()
    }

    /// The precision everything is computed in.
    pub fn precision(&self) -> Precision {
        self.parameters.precision()
    }

    /// The engine that computes products.
    pub fn engine(&self) -> Engine {
        self.settings.engine
    }

    /// Number of batches: 1, unless made by [`over`](Self::over).
    pub fn batches(&self) -> usize {
        self.parts.len()
    }

    /// The same objective at other parameters.
    ///
    /// # Errors
    ///
    /// A vector of another layout, precision or device.
    pub fn at(&self, parameters: &ParamVector<B>) -> Result<Self, Error> {
        self.expect_compatible(parameters)?;
        Ok(Self { parameters: parameters.clone(), ..self.with_parts(self.parts.clone()) })
    }

    /// The same objective with another engine for its products.
    #[must_use]
    pub fn with_engine(&self, engine: Engine) -> Self {
        let mut other = self.clone();
        other.settings.engine = engine;
        other
    }

    /// The same objective with another limit for what one operator keeps between products, in bytes.
    ///
    /// What of a product does not depend on the vector is computed once per (θ, batch) and kept, batch by batch while
    /// the budget lasts; for the other batches it is recomputed for every product, at the cost of about one gradient
    /// of the batch. 0 keeps nothing. The default is no limit for one batch and 1 GiB over a data set.
    #[must_use]
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
    fn with_parts(&self, parts: Parts<B>) -> Self {
        Self {
            parts,
            hessian: PreparedProduct::new(Product::Hessian),
            point: Arc::default(),
            ..self.clone()
        }
    }

    /// ℒ(θ). Costs one forward pass and a read-back for each batch.
    ///
    /// # Errors
    ///
    /// A loss that is NaN or infinite.
    pub fn value(&self) -> Result<f64, Error> {
        let mut sum = 0.0;
        self.for_each_part(|_, part| {
            sum += part.weight * self.value_of(part)?;
            Ok(())
        })?;
        Ok(sum)
    }

    /// ∇ℒ(θ). Costs one gradient.
    ///
    /// # Errors
    ///
    /// A loss or gradient that is NaN or infinite, naming the parameter.
    pub fn gradient(&self) -> Result<ParamVector<B>, Error> {
        Ok(self.value_and_gradient()?.gradient)
    }

    /// ℒ(θ) and ∇ℒ(θ) by one forward and one backward pass.
    ///
    /// # Errors
    ///
    /// A loss or gradient that is NaN or infinite, naming the parameter.
    pub fn value_and_gradient(&self) -> Result<ValueAndGradient<B>, Error> {
        let (mut value, mut gradient) = (0.0, None);
        self.for_each_part(|_, part| {
            let mut outputs = part.programs.gradient()?.run(self.inputs(part)?)?;
            let blocks =
                outputs.split_off(outputs.len().saturating_sub(self.parameters.blocks().len()));
            value += part.weight * finite_loss::<B>(outputs.first())?;
            products::accumulate(&mut gradient, part.weight, self.vector(blocks)?)
        })?;
        let gradient = gradient.ok_or(ObjectiveError::NoBatches)?;
        gradient.expect_finite("the gradient")?;
        Ok(ValueAndGradient { value, gradient })
    }

    /// ∇²ℒ(θ)·v, exact, as Burn's gradient of ⟨∇ℒ, v⟩.
    ///
    /// # Cost
    ///
    /// With [`Engine::Compiled`] about one gradient per product, and once per (θ, batch) about one more; what does
    /// not depend on v is kept until the objective and its clones are dropped, within the
    /// [memory budget](Self::with_memory_budget). With [`Engine::Eager`] about 2.4 gradients per product, more for tiny
    /// models.
    ///
    /// # Errors
    ///
    /// A vector of another layout, precision or device; a product that is NaN or infinite, naming the parameter.
    pub fn hessian_vector_product(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.hessian_products(std::slice::from_ref(vector))?;
        let product = product.into_iter().next();
        let product = product.ok_or(ObjectiveError::NoBatches)?;
        product.expect_finite("the Hessian-vector product")?;
        Ok(product)
    }

    /// Products without reading anything back from the device: solvers see what is not finite in their scalars.
    pub(crate) fn hessian_products(
        &self,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        self.products(&self.hessian, vectors)
    }

    /// One batch's Hessian product, with its weight in the mean of all.
    pub(crate) fn hessian_term(
        &self,
        term: usize,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        self.term(&self.hessian, term, vector)
    }

    /// Runs now what of a Hessian product does not depend on the vector; otherwise the first product does.
    ///
    /// # Errors
    ///
    /// A failure of the backend.
    pub fn prepare(&self) -> Result<(), Error> {
        self.prepare_product(&self.hessian)
    }

    /// The model's outputs z on every batch: one block a batch, named `outputs` for a single one.
    ///
    /// # Errors
    ///
    /// [`DeriveError::NoOutputs`](crate::DeriveError::NoOutputs) if the traced closure returned the loss alone.
    pub fn outputs(&self) -> Result<ParamVector<B>, Error> {
        let layout = self.outputs_layout()?;
        let mut blocks = Vec::with_capacity(self.batches());
        self.for_each_part(|_, part| {
            blocks.push(self.outputs_of(part)?.into_float()?);
            Ok(())
        })?;
        Ok(ParamVector::from_blocks(&layout, blocks)?)
    }

    fn expect_compatible(&self, vector: &ParamVector<B>) -> Result<(), VectorError> {
        self.parameters.expect_like(vector)
    }

    /// What the programs of a batch are run on, where its recording applies.
    fn inputs(&self, part: &Part<B>) -> Result<Vec<Operand<B::InnerBackend>>, Error> {
        self.expect_same_way(part)?;
        Ok(self.operands(part))
    }

    fn operands(&self, part: &Part<B>) -> Vec<Operand<B::InnerBackend>> {
        inputs(&self.parameters, &part.batch.operands)
    }

    fn vector(&self, blocks: Vec<Operand<B::InnerBackend>>) -> Result<ParamVector<B>, Error> {
        let blocks: Vec<FloatTensor<B::InnerBackend>> = blocks
            .into_iter()
            .filter_map(|operand| match operand {
                Operand::Float(tensor) => Some(tensor),
                Operand::Int(_) | Operand::Bool(_) => None,
            })
            .collect();
        Ok(ParamVector::from_blocks(self.layout(), blocks)?)
    }

    fn value_of(&self, part: &Part<B>) -> Result<f64, Error> {
        let outputs = part.programs.loss()?.run(self.inputs(part)?)?;
        finite_loss::<B>(outputs.first())
    }
}

/// The inputs of a recording.
fn inputs<B: AutodiffBackend>(
    parameters: &ParamVector<B>,
    batch: &[Operand<B::InnerBackend>],
) -> Vec<Operand<B::InnerBackend>> {
    let parameters = parameters.blocks().iter().cloned().map(Operand::Float);
    parameters.chain(batch.iter().cloned()).collect()
}

fn finite_loss<B: AutodiffBackend>(loss: Option<&Operand<B::InnerBackend>>) -> Result<f64, Error> {
    let value = match loss {
        Some(loss) => loss.clone().into_data()?.iter::<f64>().next().unwrap_or(f64::NAN),
        None => f64::NAN,
    };
    match value.is_finite() {
        true => Ok(value),
        false => Err(ObjectiveError::NotFiniteLoss { value: value.to_string() }.into()),
    }
}
