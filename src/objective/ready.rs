//! The product on one batch, of which only the part that depends on the vector remains to be computed.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{Objective, batches::Part, products::parts, split_program::SplitProgram};
use crate::{
    derive::{Product, ProductInputs},
    error::Error,
    space::{ParamSpace, ParamVector},
    tensor::Operand,
};

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

/// A product on one batch, of which only the part that depends on the vector remains to be computed.
pub(crate) enum Ready<'a, B: AutodiffBackend> {
    Compiled {
        programs: Arc<SplitProgram<B>>,
        prepared: Arc<Operands<B>>,
        /// Bytes that vectors multiplied together may take.
        working: usize,
    },
    Eager {
        objective: &'a Objective<B>,
        part: &'a Part<B>,
        kind: Product,
        noise: Option<Operand<B::InnerBackend>>,
    },
}

impl<B: AutodiffBackend> Ready<'_, B> {
    /// Multiplies several vectors, each given by its parts, and passes each product with the index of its vector to
    /// `take`.
    pub fn each(
        &self,
        vectors: impl ExactSizeIterator<Item = Operands<B>>,
        mut take: impl FnMut(usize, Operands<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Ready::Compiled { programs, prepared, working } => {
                let together = programs.together(vectors.len(), *working);
                programs.each((prepared, together), vectors, take)
            }
            Ready::Eager { .. } => {
                let mut vectors = vectors.enumerate();
                vectors.try_for_each(|(index, vector)| take(index, self.run(vector)?))
            }
        }
    }

    /// The same for a product that maps the parameters to themselves.
    pub fn each_of_parameters(
        &self,
        (space, vectors): (&ParamSpace<B>, &[ParamVector<B>]),
        mut take: impl FnMut(usize, ParamVector<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Ready::Compiled { programs, prepared, working } => {
                let together = programs.together(vectors.len(), *working);
                programs.each_of_space((prepared, together), (space, vectors), take)
            }
            Ready::Eager { objective, .. } => {
                let mut vectors = vectors.iter().enumerate();
                vectors.try_for_each(|(index, vector)| {
                    take(index, objective.vector(self.run(parts(vector))?)?)
                })
            }
        }
    }

    /// The product with one vector, given by its parts.
    pub fn run(&self, vector: Operands<B>) -> Result<Operands<B>, Error> {
        match self {
            Ready::Compiled { programs, prepared, .. } => {
                Ok(programs.finish.run_beside(prepared, vector)?)
            }
            Ready::Eager { objective, part, kind, noise } => {
                let vector: Result<Vec<_>, _> =
                    vector.into_iter().map(Operand::into_float).collect();
                let noise = noise.clone().map(Operand::into_float).transpose()?;
                let data: Vec<_> = objective.values.data(&part.batch.operands).collect();
                let given = ProductInputs::<B::InnerBackend> {
                    device: part.programs.device(),
                    parameters: objective.parameters().blocks(),
                    batch: &data,
                    noise,
                    vector: &vector?,
                };
                let eager = part.programs.kernels().eager;
                let product = eager(*kind, part.programs.on_device()?, given)
                    .map_err(|error| objective.named(error))?;
                Ok(product.into_iter().map(Operand::Float).collect())
            }
        }
    }
}
