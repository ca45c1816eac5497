//! Batches that are fetched again for every pass, which must stay the same.

use std::sync::{Arc, atomic::AtomicUsize};

use burn_backend::AutodiffBackend;

use super::{
    ObjectiveError,
    batches::{Counted, Part, Stated, Visit},
    excerpt::Excerpt,
    samples::SampleView,
};
use crate::error::Error;

/// Passes on all batches once.
pub(super) type Run<B> = dyn Fn(Visit<'_, B>) -> Result<(), Error> + Send + Sync;

/// Batches that are fetched for every pass.
pub(super) struct Stream<B: AutodiffBackend> {
    pub run: Arc<Run<B>>,
    /// The batches as the first pass saw them.
    pub batches: Vec<Fetched>,
    /// What becomes of the losses of samples, one after the other.
    pub views: Vec<SampleView>,
    /// Passes that were begun after the first one.
    pub passes: AtomicUsize,
}

/// A batch of a stream.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub samples: usize,
    pub excerpt: Arc<Excerpt>,
    pub stated: Stated,
    /// What its loss is divided by.
    pub divisor: f64,
    pub weight: f64,
}

impl<B: AutodiffBackend> Stream<B> {
    /// Checks that a batch of a later pass has the elements that it had in the first one.
    pub fn expect_elements(&self, index: usize, batch: &Counted<B>) -> Result<(), Error> {
        let Some(first) = self.batches.get(index) else {
            return Ok(());
        };
        // Other sizes are named by `expect_same`.
        if first.samples != batch.samples
            || first.excerpt.is_like(&Excerpt::of::<B>(&batch.operands)?)
        {
            return Ok(());
        }
        let expected = "the original ones".into();
        Err(ObjectiveError::StreamChanged {
            expected,
            found: format!("different elements in batch {index}"),
        }
        .into())
    }

    /// Checks that a pass had as many batches as the first one.
    pub fn expect_count(&self, found: usize) -> Result<(), ObjectiveError> {
        if found == self.batches.len() {
            return Ok(());
        }
        Err(ObjectiveError::StreamChanged {
            expected: format!("{} batches", self.batches.len()),
            found: format!("{found} batches"),
        })
    }

    /// Checks that a batch of a later pass is as in the first one, and weighs it.
    pub fn expect_same(&self, index: usize, part: Part<B>) -> Result<Part<B>, ObjectiveError> {
        let found = part.batch.samples;
        let changed = |expected: String, found: String| {
            let found = format!("{found} in batch {index}");
            Err(ObjectiveError::StreamChanged { expected, found })
        };
        match self.batches.get(index) {
            Some(first) if first.samples != found => {
                changed(format!("{} samples", first.samples), format!("{found} samples"))
            }
            Some(first) if first.stated != part.stated => {
                changed(format!("{:?}", first.stated), format!("{:?}", part.stated))
            }
            Some(first) => Ok(part.weighted(first.weight)),
            None => changed("its end".into(), format!("{found} samples")),
        }
    }
}
