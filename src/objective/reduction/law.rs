//! How the loss of a batch combines those of its samples, and how that is known.
//!
//! The recorded programs of a batch and of a part of it show how the factors of the loss' terms change with the number of
//! samples ([`Terms`]): this holds for all parameters and all data. That a sample's terms do not depend on other
//! samples is shown by the program too, where the samples can be followed through it
//! ([`BatchAxes`](crate::derive::BatchAxes)). Where they cannot, as through rows picked by computed indices, it is
//! checked by numbers: the batch and its halves in several orders, at other parameters, in f64 where the device has it.
//! The batch is compared with its parts in any case.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::Reduction;
use crate::{
    derive::Terms,
    objective::{
        ObjectiveError,
        batches::{Outline, Stated},
    },
};

/// A reduction with its evidence.
#[derive(Clone, Debug)]
pub(in crate::objective) struct Law {
    pub reduction: Reduction,
    pub(super) evidence: Evidence,
}

#[derive(Clone, Debug)]
pub(super) enum Evidence {
    /// The closure states it with every batch.
    Stated,
    /// By the program of a batch, with which those of other batches are compared.
    Terms(Arc<Reference>),
    /// Samples are counted in the first dimension of the first tensor.
    Counted,
}

impl Law {
    /// The law of a closure that states it.
    pub fn stated(reduction: Reduction) -> Self {
        Self { reduction, evidence: Evidence::Stated }
    }

    /// What is taken on trust.
    pub fn trusted(reduction: Reduction) -> Self {
        Self { reduction, evidence: Evidence::Counted }
    }

    /// Whether batches are counted, and not known by their programs.
    pub fn is_counted(&self) -> bool {
        matches!(self.evidence, Evidence::Counted)
    }

    /// Whether it is known by a batch of one sample, which does not show whether samples meet each other.
    pub fn is_of_one_sample(&self) -> bool {
        matches!(&self.evidence, Evidence::Terms(reference) if reference.of_one_sample)
    }

    /// The unit of divisors, the same on all ranks for one closure up to a factor that this is, and what identifies the
    /// closure.
    pub fn unit(&self) -> (f64, u64) {
        match &self.evidence {
            Evidence::Stated => (1.0, 1),
            Evidence::Counted => (1.0, 2),
            Evidence::Terms(reference) => {
                let divisor = match self.reduction {
                    Reduction::Sum => 1.0,
                    Reduction::Mean => reference.divisor,
                };
                (divisor * reference.terms.scale(), reference.terms.content())
            }
        }
    }

    /// What the loss of a batch is divided by: 1 for a sum, and for a mean a number in units that are the same for all
    /// batches.
    pub fn divisor<B: AutodiffBackend>(&self, batch: &Outline<B>) -> Result<f64, ObjectiveError> {
        let mean = self.reduction == Reduction::Mean;
        match (&self.evidence, batch.stated) {
            (Evidence::Stated, Stated::Sum) if !mean => Ok(1.0),
            (Evidence::Stated, Stated::Mean { divisor }) if mean => Ok(divisor),
            (Evidence::Terms(reference), Stated::Nothing) => {
                reference.divisor(self.reduction, batch).map_err(|reason| {
                    ObjectiveError::NotReducedSo { reduction: self.reduction, reason }
                })
            }
            (Evidence::Counted, Stated::Nothing) if mean => Ok(batch.samples as f64),
            (Evidence::Counted, Stated::Nothing) => Ok(1.0),
            _ => Err(ObjectiveError::NotReducedSo {
                reduction: self.reduction,
                reason: "the closure returns different kinds of losses for different batches"
                    .into(),
            }),
        }
    }
}

/// A batch whose reduction is proven.
#[derive(Debug)]
pub(super) struct Reference {
    pub terms: Terms,
    /// What its terms are divided by, for a mean.
    pub divisor: f64,
    /// Its number of samples by the batch itself, or in the first dimension.
    pub samples: usize,
    /// Whether it is one sample, put together with another.
    pub of_one_sample: bool,
}

impl Reference {
    /// What the loss of another batch is divided by, or why that is not known.
    fn divisor<B: AutodiffBackend>(
        &self,
        reduction: Reduction,
        batch: &Outline<B>,
    ) -> Result<f64, String> {
        let terms = batch.programs.terms();
        let Some(ratio) = self.terms.ratio_to(terms) else {
            return Err("the programs of two batches differ in more than their sizes".into());
        };
        if reduction == Reduction::Sum {
            return if same(ratio, 1.0) {
                Ok(1.0)
            } else {
                Err(format!("the factor of its terms differs by {ratio:.6} between two batches"))
            };
        }
        let by_samples = same(ratio, batch.samples as f64 / self.samples as f64);
        let by_elements = terms.elements_for(&self.terms).is_some_and(|more| same(ratio, more));
        if by_samples || (by_elements && !batch.supplied) {
            return Ok(self.divisor * ratio);
        }
        Err(format!(
            "a batch of {} samples is divided by {} where one of {} is divided by {}",
            batch.samples,
            self.divisor * ratio,
            self.samples,
            self.divisor
        ))
    }
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs()
}
