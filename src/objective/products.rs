//! Products with a vector over all batches of an objective. Knows programs and what is kept of them between vectors,
//! not what a product is wanted for.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, TensorData};

use super::{
    Engine, Objective, ObjectiveError,
    parts::{Part, Parts},
    prepared::Prepared,
};
use crate::{
    derive::{self, DeriveError, Given, Product},
    error::Error,
    graph::ValueType,
    space::{ParamLayout, ParamVector, VectorError},
    tensor::Operand,
};

/// Makes what targets are drawn by from the number of a batch and the type of the model's outputs on it.
pub(crate) type Noise = dyn Fn(usize, &ValueType) -> Result<TensorData, Error> + Send + Sync;

/// What the product on a batch is multiplied by, beside the batch's weight.
type Factor<B> = dyn Fn(&Part<B>) -> f64 + Send + Sync;

/// A product with what it keeps between vectors. Clones share it.
pub(crate) struct PreparedProduct<B: AutodiffBackend> {
    kind: Product,
    /// Multiplies each product.
    factor: Arc<Factor<B>>,
    noise: Option<Arc<Noise>>,
    prepared: Arc<Prepared<B>>,
}

impl<B: AutodiffBackend> Clone for PreparedProduct<B> {
    fn clone(&self) -> Self {
        Self {
            kind: self.kind,
            factor: Arc::clone(&self.factor),
            noise: self.noise.clone(),
            prepared: Arc::clone(&self.prepared),
        }
    }
}

impl<B: AutodiffBackend> PreparedProduct<B> {
    /// A product as the loss of each batch gives it.
    pub fn new(kind: Product) -> Self {
        Self { kind, factor: Arc::new(|_| 1.0), noise: None, prepared: Arc::default() }
    }

    /// With a factor for each batch beside its weight in the loss.
    pub fn with_factor(mut self, factor: impl Fn(&Part<B>) -> f64 + Send + Sync + 'static) -> Self {
        self.factor = Arc::new(factor);
        self
    }

    /// With the noise that the product draws by.
    pub fn with_noise(mut self, noise: Arc<Noise>) -> Self {
        self.noise = Some(noise);
        self
    }

    /// Bytes kept between vectors.
    pub fn kept_bytes(&self) -> usize {
        self.prepared.bytes()
    }
}

/// What an operator over a data set keeps by default: 1 GiB.
const DATA_SET_BUDGET: usize = 1 << 30;

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

impl<B: AutodiffBackend> Objective<B> {
    /// Σ over batches of weight · factor · product, for several vectors; each batch is prepared once.
    pub(crate) fn products(
        &self,
        product: &PreparedProduct<B>,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        for vector in vectors {
            self.expect_compatible(vector)?;
        }
        let mut sums: Vec<Option<ParamVector<B>>> = vec![None; vectors.len()];
        self.for_each_part(|index, part| {
            let weight = part.weight * (product.factor)(part);
            let ready = self.ready(product, index, part)?;
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                let blocks = ready.finish(vector)?;
                accumulate(sum, weight, self.vector(blocks)?)?;
            }
            Ok(())
        })?;
        sums.into_iter().map(|sum| sum.ok_or_else(|| ObjectiveError::NoBatches.into())).collect()
    }

    /// A batch's product alone, with its weight in the mean of all: weight · number of batches.
    pub(crate) fn term(
        &self,
        product: &PreparedProduct<B>,
        term: usize,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        self.expect_compatible(vector)?;
        let mut result = None;
        self.with_part(term, |part| {
            let weight = part.weight * (product.factor)(part) * self.batches() as f64;
            let blocks = self.ready(product, term, part)?.finish(vector)?;
            accumulate(&mut result, weight, self.vector(blocks)?)
        })?;
        result.ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    /// J v batch by batch, unweighted, as blocks of the outputs' layout.
    pub(crate) fn jacobian_product(
        &self,
        product: &PreparedProduct<B>,
        outputs: &Arc<ParamLayout>,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        self.expect_compatible(vector)?;
        let mut blocks = Vec::with_capacity(self.batches());
        self.for_each_part(|index, part| {
            blocks.extend(self.ready(product, index, part)?.finish(vector)?);
            Ok(())
        })?;
        let blocks: Result<Vec<_>, _> = blocks.into_iter().map(Operand::into_float).collect();
        Ok(ParamVector::from_blocks(outputs, blocks?)?)
    }

    /// Σ over batches of Jᵀu, unweighted, u in blocks of the outputs' layout.
    pub(crate) fn adjoint_product(
        &self,
        product: &PreparedProduct<B>,
        cotangent: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        self.parameters().expect_format(cotangent)?;
        let mut sum = None;
        self.for_each_part(|index, part| {
            let block = cotangent.blocks().get(index).cloned();
            let block = block.ok_or(VectorError::BlockCount {
                expected: index + 1,
                found: cotangent.blocks().len(),
            })?;
            let blocks = self.ready(product, index, part)?.run(vec![Operand::Float(block)])?;
            accumulate(&mut sum, 1.0, self.vector(blocks)?)
        })?;
        sum.ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    /// A batch's product, ready for vectors.
    pub(super) fn ready<'a>(
        &'a self,
        product: &PreparedProduct<B>,
        index: usize,
        part: &'a Part<B>,
    ) -> Result<Ready<'a, B>, Error> {
        let noise = product.noise.as_deref();
        if self.engine() == Engine::Eager {
            self.expect_same_way(part)?;
            let noise = noise.map(|noise| self.noise(noise, index, part)).transpose()?;
            return Ok(Ready::Eager { objective: self, part, kind: product.kind, noise });
        }
        let programs = part.programs.product(product.kind).map_err(|error| self.named(error))?;
        let budget = (programs.kept_bytes(), self.memory_budget());
        let prepared = product.prepared.get_or_make(index, budget, || {
            let mut inputs = self.inputs(part)?;
            if let Some(noise) = noise {
                inputs.push(self.noise(noise, index, part)?);
            }
            Ok(programs.prepare.run(inputs)?)
        })?;
        Ok(Ready::Compiled { programs, prepared })
    }

    /// Prepares one batch for a product, as far as the budget goes.
    pub(super) fn prepare_part(
        &self,
        product: &PreparedProduct<B>,
        index: usize,
        part: &Part<B>,
    ) -> Result<(), Error> {
        self.ready(product, index, part).map(drop)
    }

    pub(super) fn noise(
        &self,
        noise: &Noise,
        index: usize,
        part: &Part<B>,
    ) -> Result<Operand<B::InnerBackend>, Error> {
        let outputs = part.programs.outputs_type()?;
        let made = noise(index, outputs)?.convert_dtype(outputs.dtype);
        Ok(Operand::from_data(made, part.programs.device())?)
    }

    /// Replaces positions of parameters by their names.
    pub(super) fn named(&self, error: Error) -> Error {
        let Some(DeriveError::BesideOutputs { parameters }) = error.downcast_ref() else {
            return error;
        };
        let blocks = self.layout().blocks();
        let names = parameters.iter().filter_map(|&index| blocks.get(index));
        ObjectiveError::BesideOutputs {
            parameters: names.map(|block| block.name().to_string()).collect(),
        }
        .into()
    }

    fn memory_budget(&self) -> usize {
        let default = match self.batches() {
            1 => usize::MAX,
            _ => DATA_SET_BUDGET,
        };
        self.settings.memory_budget.unwrap_or(default)
    }

    /// Whether the batches are fetched anew for every pass.
    pub fn is_streamed(&self) -> bool {
        matches!(self.parts, Parts::Streamed(_))
    }
}

/// A product on one batch, of which only what depends on the vector is left to do.
pub(super) enum Ready<'a, B: AutodiffBackend> {
    Compiled {
        programs: Arc<super::programs::SplitProgram<B>>,
        prepared: Arc<Operands<B>>,
    },
    Eager {
        objective: &'a Objective<B>,
        part: &'a Part<B>,
        kind: Product,
        noise: Option<Operand<B::InnerBackend>>,
    },
}

impl<B: AutodiffBackend> Ready<'_, B> {
    fn finish(&self, vector: &ParamVector<B>) -> Result<Operands<B>, Error> {
        let blocks = vector.blocks().iter().cloned();
        self.run(blocks.map(Operand::Float).collect())
    }

    pub(super) fn run(&self, vector: Operands<B>) -> Result<Operands<B>, Error> {
        match self {
            Ready::Compiled { programs, prepared } => {
                let inputs = prepared.iter().cloned().chain(vector).collect();
                Ok(programs.finish.run(inputs)?)
            }
            Ready::Eager { objective, part, kind, noise } => {
                let vector: Result<Vec<_>, _> =
                    vector.into_iter().map(Operand::into_float).collect();
                let noise = noise.clone().map(Operand::into_float).transpose()?;
                let given = Given::<B::InnerBackend> {
                    device: part.programs.device(),
                    parameters: objective.parameters.blocks(),
                    batch: &part.batch.operands,
                    noise,
                    vector: &vector?,
                };
                let product = derive::eager_product(*kind, part.programs.on_device()?, given)
                    .map_err(|error| objective.named(error))?;
                Ok(product.into_iter().map(Operand::Float).collect())
            }
        }
    }
}

/// `sum ← sum + weight · vector`
pub(super) fn accumulate<B: AutodiffBackend>(
    sum: &mut Option<ParamVector<B>>,
    weight: f64,
    vector: ParamVector<B>,
) -> Result<(), Error> {
    *sum = Some(match sum.take() {
        Some(sum) => sum.axpy(weight, &vector)?,
        None if weight == 1.0 => vector,
        None => vector.scale(weight),
    });
    Ok(())
}
