//! What of a product does not depend on the vector, kept batch by batch while a budget allows. Knows no program.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use burn_backend::AutodiffBackend;

use crate::{error::Error, tensor::Operand};

type Operands<B> = Arc<Vec<Operand<<B as AutodiffBackend>::InnerBackend>>>;

/// Results by the number of the batch.
pub(crate) struct Prepared<B: AutodiffBackend>(Mutex<Kept<B>>);

struct Kept<B: AutodiffBackend> {
    batches: HashMap<usize, Operands<B>>,
    bytes: usize,
}

impl<B: AutodiffBackend> Default for Prepared<B> {
    fn default() -> Self {
        Self(Mutex::new(Kept { batches: HashMap::new(), bytes: 0 }))
    }
}

impl<B: AutodiffBackend> Prepared<B> {
    /// What is kept for a batch, or else made now, and kept if its `bytes` still fit in the budget.
    pub fn get_or_make(
        &self,
        batch: usize,
        (bytes, budget): (usize, usize),
        make: impl FnOnce() -> Result<Vec<Operand<B::InnerBackend>>, Error>,
    ) -> Result<Operands<B>, Error> {
        if let Some(found) = self.lock().batches.get(&batch) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(make()?);
        let mut kept = self.lock();
        if kept.bytes.saturating_add(bytes) <= budget && !kept.batches.contains_key(&batch) {
            kept.bytes += bytes;
            kept.batches.insert(batch, Arc::clone(&made));
        }
        Ok(made)
    }

    /// Bytes kept at present.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
