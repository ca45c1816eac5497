//! The programs of the first batch, for printing or drawing.

use burn_backend::AutodiffBackend;

use super::Objective;
use crate::{derive::Product, error::Error, graph::Graph};

impl<B: AutodiffBackend> Objective<B> {
    /// The recorded program of the loss on the first batch, for printing or drawing.
    ///
    /// # Errors
    /// A failure to fetch the batch.
    pub fn loss_program(&self) -> Result<Graph, Error> {
        self.of_first(|part| Ok(part.programs.recorded().clone()))
    }

    /// The derived program of the gradient, for printing or drawing.
    ///
    /// # Errors
    /// A failure to derive it.
    pub fn gradient_program(&self) -> Result<Graph, Error> {
        self.of_first(|part| Ok(part.programs.gradient()?.graph().clone()))
    }

    /// The derived programs of the Hessian product: what runs once per (θ, batch), and what runs per vector.
    ///
    /// # Errors
    /// A failure to derive them.
    pub fn hessian_programs(&self) -> Result<(Graph, Graph), Error> {
        self.product_programs(Product::Hessian)
    }

    /// The derived programs of the Gauss-Newton product: what runs once per (θ, batch), and what runs per vector.
    ///
    /// # Errors
    /// A failure to derive them.
    pub fn gauss_newton_programs(&self) -> Result<(Graph, Graph), Error> {
        self.product_programs(Product::GaussNewton)
    }

    fn product_programs(&self, kind: Product) -> Result<(Graph, Graph), Error> {
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
