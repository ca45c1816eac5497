//! ℒ(θ) of a traced model on one batch: its value and its derivative products. Knows programs and vectors, not
//! what a product is wanted for.

mod config;
mod error;
mod faithfulness;
mod programs;
mod source;
mod trace_model;

pub use config::{Engine, Memory, Mode, TraceConfig};
pub use error::ObjectiveError;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock},
};

use burn_backend::{AutodiffBackend, tensor::FloatTensor};

use crate::{
    derive,
    error::Error,
    execute::Operand,
    graph::{Graph, ValueType},
    params::{ParamLayout, ParamVector, Precision, VectorError},
};
use programs::ProgramSet;
use source::Source;

/// Types of the batch, and the precision.
type ProgramKey = (Vec<ValueType>, Precision);

/// The programs made so far, by the types of the batch and the precision.
struct Recorder<B: AutodiffBackend> {
    source: Mutex<Box<dyn Source>>,
    programs: Mutex<HashMap<ProgramKey, Arc<ProgramSet<B>>>>,
}

/// What of a Hessian product does not depend on the vector, for one (θ, batch).
type Prepared<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

/// A loss ℒ(θ) on one batch, with its value and derivative products.
///
/// ```text
/// ℒ(θ) = loss(model_θ(x), y)      ∇ℒ(θ)      ∇²ℒ(θ)·v
/// ```
///
/// Made by [`Objective::trace`]; see there for an example. The reduction over samples is the one in the traced
/// closure: nothing is rescaled.
///
/// Cloning is cheap and shares the recordings.
pub struct Objective<B: AutodiffBackend> {
    recorder: Arc<Recorder<B>>,
    programs: Arc<ProgramSet<B>>,
    parameters: ParamVector<B>,
    batch: Vec<Operand<B::InnerBackend>>,
    engine: Engine,
    memory: Memory,
    prepared: Arc<OnceLock<Prepared<B>>>,
}

impl<B: AutodiffBackend> Clone for Objective<B> {
    fn clone(&self) -> Self {
        Self {
            recorder: Arc::clone(&self.recorder),
            programs: Arc::clone(&self.programs),
            parameters: self.parameters.clone(),
            batch: self.batch.clone(),
            engine: self.engine,
            memory: self.memory,
            prepared: Arc::clone(&self.prepared),
        }
    }
}

impl<B: AutodiffBackend> std::fmt::Debug for Objective<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objective")
            .field("parameters", &self.layout().len())
            .field("precision", &self.precision())
            .field("engine", &self.engine)
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

    /// The engine that computes Hessian products.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The same objective at other parameters.
    ///
    /// # Errors
    ///
    /// A vector of another layout or precision.
    pub fn at(&self, parameters: &ParamVector<B>) -> Result<Self, Error> {
        self.expect_compatible(parameters)?;
        Ok(Self {
            parameters: parameters.clone(),
            prepared: Arc::default(),
            ..self.clone()
        })
    }

    /// The same objective with another engine for its Hessian products.
    #[must_use]
    pub fn with_engine(&self, engine: Engine) -> Self {
        Self {
            engine,
            ..self.clone()
        }
    }

    /// What is kept between Hessian products.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The same objective with another choice of what it keeps. One that keeps nothing lets go of what it has; other
    /// clones keep theirs.
    #[must_use]
    pub fn with_memory(&self, memory: Memory) -> Self {
        let prepared = match memory {
            Memory::Keep => Arc::clone(&self.prepared),
            Memory::Recompute => Arc::default(),
        };
        Self {
            memory,
            prepared,
            ..self.clone()
        }
    }

    /// ℒ(θ). Costs one forward pass and a read-back.
    ///
    /// # Errors
    ///
    /// A loss that is NaN or infinite.
    pub fn value(&self) -> Result<f64, Error> {
        let outputs = self.programs.loss()?.run(self.inputs())?;
        finite_loss::<B>(outputs.first())
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
        let mut outputs = self.programs.gradient()?.run(self.inputs())?;
        let blocks =
            outputs.split_off(outputs.len().saturating_sub(self.parameters.blocks().len()));
        let value = finite_loss::<B>(outputs.first())?;
        let gradient = self.vector(blocks)?;
        gradient.expect_finite("the gradient")?;
        Ok(ValueAndGradient { value, gradient })
    }

    /// ∇²ℒ(θ)·v, exact, as Burn's gradient of ⟨∇ℒ, v⟩.
    ///
    /// # Cost
    ///
    /// With [`Engine::Compiled`] about one gradient per product, and once per (θ, batch) about one more; what does
    /// not depend on v is kept until the objective and its clones are dropped, unless [`Memory::Recompute`] is chosen:
    /// then every product costs that once more. With [`Engine::Eager`] about
    /// 2.4 gradients per product, more for tiny models.
    ///
    /// # Errors
    ///
    /// A vector of another layout or precision; a product that is NaN or infinite, naming the parameter.
    pub fn hessian_vector_product(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.hessian_vector_product_unchecked(vector)?;
        product.expect_finite("the Hessian-vector product")?;
        Ok(product)
    }

    /// The product without reading anything back from the device: solvers see what is not finite in their scalars.
    pub(crate) fn hessian_vector_product_unchecked(
        &self,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        self.expect_compatible(vector)?;
        match self.engine {
            Engine::Compiled => {
                let mut inputs = match self.memory {
                    Memory::Keep => self.prepared()?.clone(),
                    Memory::Recompute => self.programs.hessian()?.prepare.run(self.inputs())?,
                };
                inputs.extend(vector.blocks().iter().cloned().map(Operand::Float));
                self.vector(self.programs.hessian()?.finish.run(inputs)?)
            }
            Engine::Eager => {
                let product = derive::eager_hessian_vector_product::<B::InnerBackend>(
                    self.programs.loss()?.graph(),
                    self.programs.device(),
                    self.parameters.blocks(),
                    &self.batch,
                    vector.blocks(),
                )?;
                Ok(ParamVector::from_blocks(self.layout(), product)?)
            }
        }
    }

    /// Runs now what of a Hessian product does not depend on the vector; otherwise the first product does. Nothing to
    /// do where nothing is kept.
    ///
    /// # Errors
    ///
    /// A failure of the backend.
    pub fn prepare(&self) -> Result<(), Error> {
        match self.memory {
            Memory::Keep => self.prepared().map(drop),
            Memory::Recompute => Ok(()),
        }
    }

    fn prepared(&self) -> Result<&Prepared<B>, Error> {
        if let Some(prepared) = self.prepared.get() {
            return Ok(prepared);
        }
        let prepared = self.programs.hessian()?.prepare.run(self.inputs())?;
        Ok(self.prepared.get_or_init(|| prepared))
    }

    fn expect_compatible(&self, vector: &ParamVector<B>) -> Result<(), VectorError> {
        self.layout().expect_same(vector.layout())?;
        match (self.precision(), vector.precision()) {
            (expected, found) if expected == found => Ok(()),
            (expected, found) => Err(VectorError::PrecisionMismatch { expected, found }),
        }
    }

    fn inputs(&self) -> Vec<Operand<B::InnerBackend>> {
        let parameters = self.parameters.blocks().iter().cloned().map(Operand::Float);
        parameters.chain(self.batch.iter().cloned()).collect()
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

    /// The recorded program of the loss, for printing or drawing.
    ///
    /// # Errors
    ///
    /// A failure to upload its constants.
    pub fn loss_program(&self) -> Result<&Graph, Error> {
        Ok(self.programs.loss()?.graph())
    }

    /// The derived program of the gradient, for printing or drawing.
    ///
    /// # Errors
    ///
    /// A failure to derive it.
    pub fn gradient_program(&self) -> Result<&Graph, Error> {
        Ok(self.programs.gradient()?.graph())
    }

    /// The derived programs of the Hessian product: what runs once per (θ, batch), and what runs per vector.
    ///
    /// # Errors
    ///
    /// A failure to derive them.
    pub fn hessian_programs(&self) -> Result<(&Graph, &Graph), Error> {
        let split = self.programs.hessian()?;
        Ok((split.prepare.graph(), split.finish.graph()))
    }
}

fn finite_loss<B: AutodiffBackend>(loss: Option<&Operand<B::InnerBackend>>) -> Result<f64, Error> {
    let value = match loss {
        Some(loss) => loss
            .clone()
            .into_data()?
            .iter::<f64>()
            .next()
            .unwrap_or(f64::NAN),
        None => f64::NAN,
    };
    match value.is_finite() {
        true => Ok(value),
        false => Err(ObjectiveError::NotFiniteLoss {
            value: value.to_string(),
        }
        .into()),
    }
}
