//! The gradient of the loss in the model's outputs.

use std::{cell::Cell, slice};

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{Call, Derivation, Objective, ObjectiveError};
use crate::{
    derive,
    error::Error,
    graph::Graph,
    space::{Inner, ParamVector},
    tensor::Operand,
};

/// The program of ∂ℓ/∂z at any z.
#[derive(Clone, PartialEq, Eq, Hash)]
struct OutputGradient;

impl Derivation for OutputGradient {
    type Notes = ();

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, ()), Error> {
        Ok((derive::output_gradient(loss, parameters)?, ()))
    }
}

impl<B: AutodiffBackend> Objective<B> {
    /// ∂ℒ/∂z at given outputs, one block per batch with the batch's weight. Collective.
    #[inline(never)]
    pub(crate) fn output_gradient(
        &self,
        outputs: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        let index = Cell::new(self.first_block());
        let next = || {
            let block = outputs.blocks().get(index.replace(index.get() + 1)).cloned();
            let block = block.ok_or(ObjectiveError::NoBatches)?;
            Ok(vec![Operand::Float(block)])
        };
        let mut blocks = Vec::with_capacity(outputs.blocks().len());
        let own = self.pass(
            &OutputGradient,
            None,
            |_| next(),
            |part, (), results| {
                let gradient = results.into_iter().next().ok_or(ObjectiveError::NoBatches)?;
                let weight = part.weight.into();
                blocks.push(Inner::<B>::float_mul_scalar(gradient.into_float()?, weight));
                Ok(())
            },
        );
        let (call, own) = ((Call::Rows, slice::from_ref(outputs)), own.map(|()| vec![blocks]));
        let gradient = self.by_batch(outputs.space(), call, 1, own)?.into_iter().next();
        gradient.ok_or_else(|| ObjectiveError::NoBatches.into())
    }
}
