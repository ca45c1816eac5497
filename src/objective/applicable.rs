//! Whether a recording applies to a batch and to the values of a model: branches that its closure would take again, and indices
//! within range.

use burn_backend::AutodiffBackend;

use super::{guards::GuardPrograms, programs::ProgramSet};
use crate::{error::Error, tensor::Operand};

impl<B: AutodiffBackend> ProgramSet<B> {
    /// What must be so for the recording to apply.
    pub(super) fn guards(&self) -> &GuardPrograms<B> {
        &self.guards
    }

    /// Refuses a batch with an index out of range.
    pub(super) fn expect_indices(
        &self,
        inputs: impl Fn() -> Vec<Operand<B::InnerBackend>>,
    ) -> Result<(), Error> {
        self.indices.as_ref().map_or(Ok(()), |indices| indices.expect(inputs))
    }

    /// Whether a recording may not apply at other values of the model.
    pub(super) fn depend_on_model(&self) -> bool {
        self.guards.depend_on_model() || self.indices_at_model.is_some()
    }

    /// Refuses values of the model at which the closure would go another way, or pick out of range.
    pub(super) fn expect_at_model(
        &self,
        inputs: impl Fn() -> Vec<Operand<B::InnerBackend>>,
    ) -> Result<(), Error> {
        if let Some(indices) = &self.indices_at_model {
            indices.expect(&inputs)?;
        }
        self.guards.expect_at_model(inputs)
    }
}
