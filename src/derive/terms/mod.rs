//! What a loss is a sum of: the values below its reductions, each with its factor. Read off the recorded program, for all
//! parameters and data at once.
//!
//! A loss is followed back through everything linear: sums, means, scaling by constants, reshaping. What is left are
//! terms Σᵢ cᵢ·Σ(elements of xᵢ), computed from the batch or not. Two recordings of one closure for different numbers of
//! samples then show what it does with them: the c of a sum stay, those of a mean are divided by the number.

mod content;
mod walk;

use std::ops::Range;

use content::hash;
use walk::Walk;

use super::BatchAxes;
use crate::graph::{Graph, ValueId};

/// A loss as a sum of terms.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Computed from the batch, by content.
    of_batch: Vec<Term>,
    /// All others, such as a weight decay.
    others: Vec<Term>,
    /// Literals that are added to values, before or after they are reduced.
    literals: Vec<Term>,
    /// The x of the terms that are computed from the batch.
    values: Vec<ValueId>,
}

/// c·Σ(elements of x)
#[derive(Clone, Debug)]
struct Term {
    /// c
    scale: f64,
    /// Identifies what computes x, whatever its sizes.
    content: u64,
    elements: usize,
    /// The operation that computes x.
    operation: String,
    /// Whether that divides by a value which the batch decides.
    divides: bool,
    /// x
    value: ValueId,
}

/// What a loss does with the samples of a batch, seen from fewer samples to more.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Growth {
    /// The terms stay, and there are more of them.
    Sum,
    /// The terms are divided by the number of samples.
    Mean,
    /// The factor of a term changes in another way.
    Neither {
        /// By how much.
        ratio: f64,
    },
    /// A term without samples, such as a weight decay, in what is otherwise a sum.
    SumAndOthers,
    /// An operation that is not linear acts on what was reduced over the samples.
    Reduced {
        /// Its name.
        operation: String,
        /// Whether it divides by a value which the batch decides.
        divides: bool,
        /// What it computes.
        value: ValueId,
    },
    /// The elements of a term are neither as many for each sample, nor as many for any number of samples.
    Uneven {
        /// The operation that computes it.
        operation: String,
        /// Its elements for fewer samples.
        fewer: usize,
        /// Its elements for more.
        more: usize,
    },
    /// The recordings differ in more than sizes.
    Unknown,
}

impl Terms {
    /// The terms of a loss program, of which some inputs are the batch.
    pub fn of(loss: &Graph, batch: Range<usize>) -> Self {
        Walk::new(loss, batch).terms(loss.outputs()[0])
    }

    /// Whether the program shows that each term of a sample is computed from that sample only.
    pub fn are_own(&self, loss: &Graph, batch: &BatchAxes<'_>) -> bool {
        self.values.iter().all(|&value| batch.are_own(loss, value))
    }

    /// What happens to the terms of `fewer` samples when there are `more`, of which `self` are the terms.
    pub fn grown_from(&self, small: &Self, (fewer, more): (usize, usize)) -> Growth {
        if let Some(term) = self.of_batch.iter().find(|term| term.divides && term.elements == 1)
            && more > 1
        {
            return term.reduced();
        }
        if !self.has_contents_of(small) {
            return Growth::Unknown;
        }
        let pairs = || self.of_batch.iter().zip(&small.of_batch);
        let mut uneven = pairs().filter(|(a, b)| a.elements * fewer != b.elements * more);
        if let Some((term, small)) = uneven.next() {
            return if term.elements == small.elements {
                term.reduced()
            } else {
                term.uneven(small)
            };
        }
        let growth = more as f64 / fewer as f64;
        let changed = |by: f64| pairs().find(|(a, b)| !close(a.scale, b.scale * by));
        match (changed(1.0), changed(growth.recip())) {
            (_, None) if self.has_totals_of(small, 1.0) => Growth::Mean,
            (None, _) if self.has_totals_of(small, growth) => Growth::Sum,
            (Some((a, b)), _) => Growth::Neither { ratio: a.scale / b.scale },
            (None, _) => Growth::SumAndOthers,
        }
    }

    /// The common factor of all terms of `self` in units of those of `other`; `None` if the recordings differ in more.
    pub fn ratio_to(&self, other: &Self) -> Option<f64> {
        if !self.has_contents_of(other) {
            return None;
        }
        let mut pairs = self.of_batch.iter().zip(&other.of_batch);
        let mut nonzero = pairs.clone().filter(|(_, b)| b.scale != 0.0);
        let ratio = nonzero.next().map_or(1.0, |(a, b)| a.scale / b.scale);
        let more = self.elements_for(other).filter(|_| close(ratio, 1.0));
        let holds = pairs.all(|(a, b)| close(a.scale, ratio * b.scale))
            && (self.has_totals_of(other, 1.0)
                || more.is_some_and(|more| self.has_totals_of(other, more)));
        holds.then_some(ratio)
    }

    /// How many elements the terms of `self` have for one of `other`, if that is the same for all.
    pub fn elements_for(&self, other: &Self) -> Option<f64> {
        let pairs = self.of_batch.iter().zip(&other.of_batch);
        let mut ratios = pairs.map(|(a, b)| a.elements as f64 / b.elements as f64);
        let first = ratios.next()?;
        ratios.all(|ratio| ratio == first).then_some(first)
    }

    /// The size of the factor of a term that is not zero.
    pub fn scale(&self) -> f64 {
        let mut scales = self.of_batch.iter().map(|term| term.scale.abs());
        scales.find(|&scale| scale > 0.0).unwrap_or(1.0)
    }

    /// Identifies what computes the terms, whatever its sizes.
    pub fn content(&self) -> u64 {
        let all = [&self.of_batch, &self.others, &self.literals];
        hash(&all.map(|terms| terms.iter().map(|term| term.content).collect::<Vec<_>>()))
    }

    fn has_contents_of(&self, other: &Self) -> bool {
        let contents = |terms: &[Term]| terms.iter().map(|term| term.content).collect::<Vec<_>>();
        contents(&self.of_batch) == contents(&other.of_batch)
            && contents(&self.others) == contents(&other.others)
            && contents(&self.literals) == contents(&other.literals)
    }

    /// Whether all that does not depend on the batch is `times` as large as in `other`.
    fn has_totals_of(&self, other: &Self, times: f64) -> bool {
        let largest = self.of_batch.iter().map(|term| term.total().abs()).fold(0.0, f64::max);
        let ours = self.others.iter().chain(&self.literals);
        let mut pairs = ours.zip(other.others.iter().chain(&other.literals));
        pairs.all(|(a, b)| {
            let (found, expected) = (a.total(), times * b.total());
            close(found, expected) || (found - expected).abs() <= 1e-9 * largest
        })
    }
}

impl Term {
    fn total(&self) -> f64 {
        self.scale * self.elements as f64
    }

    fn reduced(&self) -> Growth {
        let (operation, divides, value) = (self.operation.clone(), self.divides, self.value);
        Growth::Reduced { operation, divides, value }
    }

    fn uneven(&self, small: &Self) -> Growth {
        let (operation, fewer, more) = (self.operation.clone(), small.elements, self.elements);
        Growth::Uneven { operation, fewer, more }
    }
}

/// Equal up to the rounding of constants in f32.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}
