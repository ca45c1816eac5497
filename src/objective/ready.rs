//! The product on one batch, of which only the part that depends on the vector remains to be computed.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{Objective, batches::Part, split_program::SplitProgram};
use crate::{
    derive::{Product, ProductInputs},
    error::Error,
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
    /// Multiplies several vectors, each given by its parts, as many at once as the memory allows, and passes each product
    /// with the index of its vector to `take`.
    pub fn each(
        &self,
        vectors: impl ExactSizeIterator<Item = Operands<B>>,
        mut take: impl FnMut(usize, Operands<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let most = match self {
            Ready::Compiled { programs, working, .. } => programs.together(*working),
            Ready::Eager { .. } => 1,
        };
        let (mut vectors, mut index) = (vectors, 0);
        while vectors.len() > 0 {
            let count = power_of_two_up_to(vectors.len().min(most));
            let some: Vec<Operands<B>> = vectors.by_ref().take(count).collect();
            for product in self.run_many(some)? {
                take(index, product)?;
                index += 1;
            }
        }
        Ok(())
    }

    /// The products with vectors that are multiplied together.
    fn run_many(&self, mut vectors: Vec<Operands<B>>) -> Result<Vec<Operands<B>>, Error> {
        match (self, vectors.len()) {
            (Ready::Compiled { programs, prepared, .. }, 2..) => {
                programs.run_many(prepared, vectors)
            }
            _ => vectors.drain(..).map(|vector| self.run(vector)).collect(),
        }
    }

    /// The product with one vector, given by its parts.
    pub fn run(&self, vector: Operands<B>) -> Result<Operands<B>, Error> {
        match self {
            Ready::Compiled { programs, prepared, .. } => {
                let inputs = prepared.iter().cloned().chain(vector).collect();
                Ok(programs.finish.run(inputs)?)
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

/// The largest power of two up to a number, which is at least 1: few numbers, so that few programs are made.
fn power_of_two_up_to(number: usize) -> usize {
    1 << number.max(1).ilog2()
}
