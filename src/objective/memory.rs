//! The memory that products and passes take, before they are run.

use burn_backend::AutodiffBackend;

use super::{Derivation, Objective};
use crate::{derive::Product, error::Error};

/// Bytes of a product over all batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProductMemory {
    /// Kept between vectors once all batches are prepared, within the budget.
    pub kept: usize,
    /// The most that is alive besides that, on one batch.
    pub transient: usize,
}

impl<B: AutodiffBackend> Objective<B> {
    /// The memory of a product.
    #[inline(never)]
    pub(crate) fn memory_of(&self, kind: Product) -> Result<ProductMemory, Error> {
        let (mut memory, budget) = (ProductMemory::default(), self.memory_budget());
        self.for_each_part(|_, part| {
            let programs = part.programs.product(kind)?;
            let (own, prepare) = (programs.kept_bytes(), programs.prepare.graph().peak_bytes());
            let finish = programs.finish.graph().peak_bytes();
            let fits = memory.kept.saturating_add(own) <= budget;
            // What is kept was counted among what is alive while it was made.
            let alive = if fits {
                prepare.saturating_sub(own).max(finish)
            } else {
                prepare.max(own + finish)
            };
            memory.kept += if fits { own } else { 0 };
            memory.transient = memory.transient.max(alive);
            Ok(())
        })?;
        Ok(memory)
    }

    /// Bytes alive at most while a derived program runs on a batch.
    pub(crate) fn transient_of<D: Derivation>(&self, derivation: &D) -> Result<usize, Error> {
        let mut most = 0;
        self.for_each_part(|_, part| {
            most = most.max(part.programs.derived(derivation)?.program.graph().peak_bytes());
            Ok(())
        })?;
        Ok(most)
    }
}
