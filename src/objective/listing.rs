//! The programs of the first batch, for printing or drawing.

use burn_backend::AutodiffBackend;

use super::Objective;
use crate::{derive::Product, error::Error, graph::Graph};

impl<B: AutodiffBackend> Objective<B> {
    /// The recorded program of the loss on the first batch, for printing or drawing.
    ///
    /// # Errors
    /// A failure to fetch the batch.
    #[inline(never)]
    pub fn loss_program(&self) -> Result<Graph, Error> {
        self.of_first(|part| Ok(part.programs.recorded().clone()))
    }

    /// The derived program of the gradient, for printing or drawing.
    ///
    /// # Errors
    /// A failure to derive it.
    #[inline(never)]
    pub fn gradient_program(&self) -> Result<Graph, Error> {
        self.of_first(|part| Ok(part.programs.gradient()?.graph().clone()))
    }

    /// The derived programs of the Hessian product: what runs once per (θ, batch), and what runs per vector.
    ///
    /// # Errors
    /// A failure to derive them.
    #[inline(never)]
    pub fn hessian_programs(&self) -> Result<(Graph, Graph), Error> {
        self.product_programs(Product::Hessian)
    }

    /// The derived programs of the Gauss-Newton product: what runs once per (θ, batch), and what runs per vector.
    ///
    /// # Errors
    /// A failure to derive them.
    #[inline(never)]
    pub fn gauss_newton_programs(&self) -> Result<(Graph, Graph), Error> {
        self.product_programs(Product::GaussNewton)
    }

    /// The derived program that multiplies several vectors with the Hessian at once, for printing or drawing: the second
    /// of [`hessian_programs`](Self::hessian_programs) with one more dimension, which counts the vectors, in each value that
    /// depends on them. Products with many vectors run it for powers of two, as many at once as the memory allows.
    /// [`Graph::one_by_one`] names the operations that it runs for one vector after another.
    ///
    /// # Errors
    /// A failure to derive it.
    #[inline(never)]
    pub fn hessian_program_for(&self, vectors: usize) -> Result<Graph, Error> {
        self.program_for(Product::Hessian, vectors)
    }

    /// The same for the Gauss-Newton matrix.
    ///
    /// # Errors
    /// A failure to derive it.
    #[inline(never)]
    pub fn gauss_newton_program_for(&self, vectors: usize) -> Result<Graph, Error> {
        self.program_for(Product::GaussNewton, vectors)
    }

    fn program_for(&self, kind: Product, vectors: usize) -> Result<Graph, Error> {
        self.of_first(|part| {
            Ok(part.programs.product(kind)?.many(vectors)?.program.graph().clone())
        })
    }

    /// The derived programs of a product, in two parts.
    #[inline(never)]
    pub(crate) fn product_programs(&self, kind: Product) -> Result<(Graph, Graph), Error> {
        self.of_first(|part| {
            let split = part.programs.product(kind)?;
            Ok((split.prepare.graph().clone(), split.finish.graph().clone()))
        })
    }

    /// The program of a derivation.
    #[cfg(test)]
    pub(crate) fn derived_program<D: super::Derivation>(
        &self,
        derivation: &D,
    ) -> Result<Graph, Error> {
        self.of_first(|part| Ok(part.programs.derived(derivation)?.program.graph().clone()))
    }
}
