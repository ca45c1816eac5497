//! The part of each product that does not depend on the vector, kept batch by batch within a budget.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use burn_backend::AutodiffBackend;

use crate::{derive::Product, error::Error, tensor::Operand};

type Operands<B> = Arc<Vec<Operand<<B as AutodiffBackend>::InnerBackend>>>;

/// Results by the index of the batch.
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
    /// The result kept for a batch; otherwise it is made now, and kept if its `bytes` still fit in the budget.
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

/// What is prepared at one θ for one set of batches, by product. It lives as long as an operator uses it; the Hessian's
/// as long as the objective, whose own products need it.
pub(crate) struct PreparedProducts<B: AutodiffBackend> {
    hessian: Arc<Prepared<B>>,
    others: Mutex<HashMap<Product, Weak<Prepared<B>>>>,
}

impl<B: AutodiffBackend> Default for PreparedProducts<B> {
    fn default() -> Self {
        Self { hessian: Arc::default(), others: Mutex::default() }
    }
}

impl<B: AutodiffBackend> PreparedProducts<B> {
    /// The prepared part of a product, shared by all who ask.
    pub fn of(&self, kind: Product) -> Arc<Prepared<B>> {
        if kind == Product::Hessian {
            return Arc::clone(&self.hessian);
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.get(&kind).and_then(Weak::upgrade).unwrap_or_else(|| {
            let fresh = Arc::default();
            others.insert(kind, Arc::downgrade(&fresh));
            fresh
        })
    }
}
