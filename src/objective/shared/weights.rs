//! The weights of batches among those of all ranks.

use std::sync::atomic::AtomicUsize;

use burn_backend::AutodiffBackend;

use super::{Numbering, Share, SharedError};
use crate::{
    error::Error,
    objective::{
        Objective, ObjectiveError, Reduction,
        batches::{Part, Parts},
        stream::Stream,
    },
};

/// What one rank says of its batches.
#[derive(Clone, Copy, Debug, Default)]
struct Claim {
    batches: u64,
    /// 1 for a sum, 2 for a mean.
    reduction: u64,
    /// The unit that divisors are in, and whether that is known from the program.
    unit: f64,
    program: u64,
    /// What all batches are divided by.
    total: f64,
}

impl Claim {
    fn words(self, failed: bool) -> Vec<u64> {
        let Self { batches, reduction, unit, program, total } = self;
        vec![u64::from(failed), batches, reduction, unit.to_bits(), program, total.to_bits()]
    }

    fn of(words: &[u64]) -> Self {
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        Self {
            batches: word(1),
            reduction: word(2),
            unit: f64::from_bits(word(3)),
            program: word(4),
            total: f64::from_bits(word(5)),
        }
    }

    fn is_idle(&self) -> bool {
        self.batches == 0
    }
}

impl<B: AutodiffBackend> Objective<B> {
    /// Weighs the batches of `made` among those of all ranks; unchanged if this objective is not shared. Collective.
    ///
    /// # Errors
    /// On all ranks, if it could not be made on one, or the ranks reduce their losses in different ways.
    #[inline(never)]
    pub(in crate::objective) fn sharing(
        &self,
        made: Result<Self, Error>,
        reduction: Reduction,
    ) -> Result<Self, Error> {
        let Some(share) = self.share() else {
            // Batches given to this rank alone are no part of a share.
            return made.map(|mut made| {
                made.settings.share = None;
                made
            });
        };
        let made = match made {
            Err(error) if has_none(&error) => self.without_batches(reduction),
            made => made.and_then(|made| Ok((made.claim()?, made))),
        };
        let own = made.as_ref().map_or(Claim::default(), |made| made.0);
        let all = share.ranks.gather(&own.words(made.is_err()))?;
        if all.iter().any(|words| words[0] != 0) {
            return Err(share.failure(made.err())?);
        }
        let (_, made) = made?;
        let all: Vec<Claim> = all.iter().map(|words| Claim::of(words)).collect();
        let unit = common_unit(&all)?;
        let total: f64 = all.iter().map(|claim| claim.total / claim.unit * unit).sum();
        if total == 0.0 && reduction == Reduction::Mean {
            return Err(ObjectiveError::NoWeight.into());
        }
        let numbering = Numbering {
            first: all[..share.ranks.rank()].iter().map(|claim| claim.batches as usize).sum(),
            terms: all.iter().map(|claim| claim.batches as usize).max().unwrap_or_default(),
            idle: own.is_idle(),
        };
        let factor = match reduction {
            Reduction::Sum => 1.0,
            // Weights of batches that do not count are those of sums over samples; they are not divided by their total.
            Reduction::Mean if own.total == 0.0 => total.recip(),
            Reduction::Mean => own.total / own.unit * unit / total,
        };
        let mut shared = made.with_parts(made.parts.scaled(factor));
        shared.settings.share = Some(Share {
            ranks: share.ranks.clone(),
            number: share.ranks.number(),
            numbering: Some(numbering),
            here: false,
        });
        Ok(shared)
    }

    fn claim(&self) -> Result<Claim, Error> {
        let law = self.settings.law.as_ref().ok_or(ObjectiveError::NoReduction)?;
        let total = match &self.parts {
            Parts::Kept(parts) => {
                let divisors = parts.iter().map(|part| law.divisor(&part.outline()));
                divisors.sum::<Result<f64, _>>()?
            }
            Parts::Streamed(stream) => stream.batches.iter().map(|batch| batch.divisor).sum(),
        };
        let (unit, program) = law.unit();
        let reduction = code(law.reduction);
        Ok(Claim { batches: self.parts.len() as u64, reduction, unit, program, total })
    }

    /// This rank with no batches, and what it says of them. Programs are derived from a batch that is not evaluated.
    fn without_batches(&self, reduction: Reduction) -> Result<(Claim, Self), Error> {
        let batch = self.of_first(|part| Ok(part.batch.clone()))?;
        let part = Part::new(&self.recorder, &self.values, batch)?;
        let made = self.stating(reduction)?.with_parts(Parts::Kept([part].into()));
        Ok((Claim { reduction: code(reduction), unit: 1.0, ..Claim::default() }, made))
    }
}

fn code(reduction: Reduction) -> u64 {
    match reduction {
        Reduction::Sum => 1,
        Reduction::Mean => 2,
    }
}

/// Whether a rank could not be given batches because it has none.
fn has_none(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(ObjectiveError::NoBatches))
}

/// The unit of the first rank that has batches, if those of the others are comparable.
fn common_unit(all: &[Claim]) -> Result<f64, Error> {
    let Some(first) = all.iter().find(|claim| !claim.is_idle()) else {
        return Err(ObjectiveError::NoBatches.into());
    };
    let differing = |differs: &dyn Fn(&Claim) -> bool| -> Vec<usize> {
        let ranks = all.iter().enumerate();
        ranks.filter(|(_, claim)| differs(claim)).map(|(rank, _)| rank).collect()
    };
    let expect = |ranks: Vec<usize>, what, advice| {
        if ranks.is_empty() { Ok(()) } else { Err(SharedError::Differs { what, ranks, advice }) }
    };
    expect(
        differing(&|claim| claim.reduction != all[0].reduction),
        "the reduction",
        "state the same reduction on all ranks",
    )?;
    expect(
        differing(&|claim| !claim.is_idle() && claim.program != first.program),
        "the program of the loss",
        "capture the same closure on all ranks, or let it return the parts of the loss, as `Loss::mean_of(losses)`",
    )?;
    if first.reduction == code(Reduction::Sum) {
        let other = |claim: &Claim| (claim.unit / first.unit - 1.0).abs() > 1e-6;
        expect(
            differing(&|claim| !claim.is_idle() && other(claim)),
            "the factor of the loss",
            "capture the same closure on all ranks",
        )?;
    }
    Ok(first.unit)
}

impl<B: AutodiffBackend> Parts<B> {
    /// The same batches with their weights multiplied.
    fn scaled(&self, factor: f64) -> Self {
        match self {
            Parts::Kept(parts) => {
                let scaled = parts.iter().map(|part| part.again().weighted(part.weight * factor));
                Parts::Kept(scaled.collect())
            }
            Parts::Streamed(stream) => {
                let mut batches = stream.batches.clone();
                batches.iter_mut().for_each(|batch| batch.weight *= factor);
                let (run, views) = (stream.run.clone(), stream.views.clone());
                let stream = Stream { run, batches, views, passes: AtomicUsize::default() };
                Parts::Streamed(stream.into())
            }
        }
    }
}
