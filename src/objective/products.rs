//! Products with a vector over all batches of an objective.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, TensorData};

use super::{
    Engine, Objective, ObjectiveError,
    batches::{Part, Parts},
    prepared::Prepared,
    ready::Ready,
    shared::Call,
};
use crate::{
    derive::{DeriveError, Product},
    error::Error,
    graph::ValueType,
    space::ParamVector,
    tensor::Operand,
};

/// Produces the noise used to sample targets, given the batch index and the type of the outputs.
pub(crate) type Noise = dyn Fn(usize, &ValueType) -> Result<TensorData, Error> + Send + Sync;

/// What the product on a batch is multiplied by, besides the batch's weight.
type Factor<B> = dyn Fn(&Part<B>) -> f64 + Send + Sync;

/// A product with the part of it that is kept between vectors. Clones share that.
#[derive(Clone)]
pub(crate) struct PreparedProduct<B: AutodiffBackend> {
    kind: Product,
    /// Multiplies each product.
    factor: Arc<Factor<B>>,
    noise: Option<Arc<Noise>>,
    prepared: Arc<Prepared<B>>,
}

impl<B: AutodiffBackend> PreparedProduct<B> {
    /// A product that shares nothing with others.
    pub fn new(kind: Product) -> Self {
        Self::sharing(kind, Arc::default())
    }

    fn sharing(kind: Product, prepared: Arc<Prepared<B>>) -> Self {
        Self { kind, factor: Arc::new(|_| 1.0), noise: None, prepared }
    }

    /// With a factor for each batch besides its weight in the loss.
    pub fn with_factor(mut self, factor: impl Fn(&Part<B>) -> f64 + Send + Sync + 'static) -> Self {
        self.factor = Arc::new(factor);
        self
    }

    /// With noise that targets are drawn by; nothing is shared with other products from here on.
    pub fn with_noise(mut self, noise: Arc<Noise>) -> Self {
        self.noise = Some(noise);
        self.prepared = Arc::default();
        self
    }

    /// Which product it is.
    pub fn kind(&self) -> Product {
        self.kind
    }

    /// What the product on a batch is multiplied by in the sum over all batches.
    pub(super) fn weight(&self, part: &Part<B>) -> f64 {
        part.weight * (self.factor)(part)
    }

    /// Bytes kept between vectors.
    pub fn kept_bytes(&self) -> usize {
        self.prepared.bytes()
    }
}

/// What an operator over a data set keeps by default: 1 GiB.
const DATA_SET_BUDGET: usize = 1 << 30;

/// What vectors that are multiplied together take at most while a program runs: 1 GiB.
const WORKING: usize = 1 << 30;

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

impl<B: AutodiffBackend> Objective<B> {
    /// A product, derived for the first batch so that a failure shows early. All operators of this product share the
    /// part that does not depend on the vector.
    #[inline(never)]
    pub(crate) fn product(&self, kind: Product) -> Result<PreparedProduct<B>, Error> {
        // The Hessian product was derived when the loss was captured.
        if kind != Product::Hessian {
            let derived = self.with_part(0, |part| part.programs.product(kind).map(drop));
            self.agreed(derived.map_err(|error| self.named(error)))?;
        }
        Ok(PreparedProduct::sharing(kind, self.prepared.of(kind)))
    }

    /// Prepares every batch for a product, as far as the budget goes.
    #[inline(never)]
    pub(crate) fn prepare_product(&self, product: &PreparedProduct<B>) -> Result<(), Error> {
        self.each_product(product, |_, _| Ok(()))
    }

    /// Calls `work` with every batch and its product, ready for vectors.
    pub(crate) fn each_product(
        &self,
        product: &PreparedProduct<B>,
        mut work: impl FnMut(&Part<B>, &Ready<'_, B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.for_each_part(|index, part| work(part, &self.ready(product, index, part)?))
    }

    /// Σ over batches of weight · factor · product, for several vectors; each batch is prepared once. Collective: one message
    /// for all vectors.
    #[inline(never)]
    pub(crate) fn products(
        &self,
        product: &PreparedProduct<B>,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        let own = self.products_here(product, vectors).map(|sums| (Vec::new(), sums));
        let (space, call) = (self.parameters().space(), (Call::Product, vectors));
        let (_, sums) = self.summed_vectors(space, call, (0, vectors.len()), own)?;
        Ok(sums)
    }

    fn products_here(
        &self,
        product: &PreparedProduct<B>,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<Option<ParamVector<B>>>, Error> {
        for vector in vectors {
            self.expect_compatible(vector)?;
        }
        let mut sums: Vec<Option<ParamVector<B>>> = vec![None; vectors.len()];
        self.each_product(product, |part, ready| {
            let weight = product.weight(part);
            let vectors = (self.parameters().space(), vectors);
            ready.each_of_parameters(vectors, |index, product| match sums.get_mut(index) {
                Some(sum) => accumulate(sum, weight, product),
                None => Ok(()),
            })
        })?;
        Ok(sums)
    }

    /// The product of one batch, weighted so that the mean over batches is the full product. On a shared objective the sum of
    /// those of every rank's batch of that index. Collective.
    #[inline(never)]
    pub(crate) fn term(
        &self,
        product: &PreparedProduct<B>,
        term: usize,
        vector: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        let own = self.term_here(product, term, vector).map(|sum| (Vec::new(), vec![sum]));
        let call = (Call::Term, std::slice::from_ref(vector));
        let (_, sums) = self.summed_vectors(self.parameters().space(), call, (0, 1), own)?;
        sums.into_iter().next().ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    fn term_here(
        &self,
        product: &PreparedProduct<B>,
        term: usize,
        vector: &ParamVector<B>,
    ) -> Result<Option<ParamVector<B>>, Error> {
        self.expect_compatible(vector)?;
        let mut result = None;
        if term >= self.batches() {
            return Ok(None);
        }
        self.with_part(term, |part| {
            let weight = product.weight(part) * self.terms() as f64;
            let blocks = self.ready(product, term, part)?.run(parts(vector))?;
            accumulate(&mut result, weight, self.vector(blocks)?)
        })?;
        Ok(result)
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
        let working = self.working_budget();
        Ok(Ready::Compiled { programs, prepared, working })
    }

    /// Replaces positions of parameters by their names.
    pub(super) fn named(&self, error: Error) -> Error {
        let Some(DeriveError::Bypass { parameters }) = error.downcast_ref() else {
            return error;
        };
        let blocks = self.layout().blocks();
        let names = parameters.iter().filter_map(|&index| blocks.get(index));
        ObjectiveError::Bypass { parameters: names.map(|block| block.name().to_string()).collect() }
            .into()
    }

    pub(super) fn memory_budget(&self) -> usize {
        let default = if self.batches() == 1 { usize::MAX } else { DATA_SET_BUDGET };
        self.settings.memory_budget.unwrap_or(default)
    }

    /// Bytes that vectors multiplied together may take while a program runs.
    fn working_budget(&self) -> usize {
        self.settings.memory_budget.map_or(WORKING, |budget| budget.min(WORKING))
    }

    /// Whether the batches are fetched again for every pass.
    pub fn is_streamed(&self) -> bool {
        matches!(self.parts, Parts::Streamed(_))
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

/// The parts of a vector, as a program takes them.
pub(super) fn parts<B: AutodiffBackend>(vector: &ParamVector<B>) -> Operands<B> {
    vector.blocks().iter().cloned().map(Operand::Float).collect()
}
