//! Whether the loss of a batch is a reduction over its samples: shown by the programs of the batch and of its parts, and
//! compared with the losses of the parts.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    Reduction,
    cut::{Cut, Pieces},
    law::{Evidence, Law, Reference},
};
use crate::{
    capture::CaptureError,
    derive::Growth,
    error::Error,
    objective::{
        Objective, ObjectiveError,
        batches::{Counted, Part},
    },
};

/// What came of one cut.
enum Verdict {
    Holds(Law),
    /// The loss combines the cut's samples, in another way.
    Refuted(Error),
    /// The loss does not combine the cut's samples, or cannot be evaluated on other numbers of them.
    NotSamples(Error),
    /// The loss combines every sample of the cut with every other.
    Pairs(Error),
}

impl<B: AutodiffBackend> Objective<B> {
    /// Finds out whether the loss of a batch is a reduction over its samples. `other` is put together with a batch of one
    /// sample.
    ///
    /// # Errors
    /// [`ObjectiveError::NotReducedSo`]; [`ObjectiveError::Halved`] if no other number of samples can be evaluated.
    pub(in crate::objective) fn proven(
        &self,
        batch: &Counted<B>,
        other: &Counted<B>,
        reduction: Reduction,
    ) -> Result<Law, Error> {
        let (mut held, mut reason, mut paired) = (None, None, None);
        for cut in Cut::all(batch) {
            // As many time steps as samples: whichever of the two they are, the reduction must hold.
            if let Some((_, whole)) = &held
                && *whole != cut.left_whole()
            {
                break;
            }
            match self.judged(&cut, &cut.pieces(batch, other), reduction) {
                // With one of two tensors of samples left whole, a sum over pairs is one over the samples of the other.
                Verdict::Holds(_)
                    if paired.as_ref().is_some_and(|(all, _)| cut.is_part_of(all)) =>
                {
                    reason = paired.take().map(|(_, error)| error);
                    break;
                }
                Verdict::Holds(law) if !batch.supplied => return Ok(law),
                Verdict::Holds(law) => held = held.or_else(|| Some((law, cut.left_whole()))),
                Verdict::Refuted(error) => return Err(error),
                Verdict::NotSamples(error) => reason = reason.or(Some(error)),
                Verdict::Pairs(error) => {
                    reason = reason.or(Some(error.clone()));
                    paired = paired.or(Some((cut, error)));
                }
            }
        }
        match (held, reason) {
            (Some((law, _)), _) => Ok(law),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(Law::trusted(reduction)),
        }
    }

    fn judged(&self, cut: &Cut, pieces: &Pieces<B>, reduction: Reduction) -> Verdict {
        let part = |batch: &Counted<B>| {
            let made = Part::new(&self.recorder, &self.values, batch.clone());
            made.map_err(|error| halved(error, cut.samples))
        };
        let made = part(&pieces.whole).and_then(|whole| {
            let [first, second] = &pieces.parts;
            Ok((whole, [part(first)?, part(second)?]))
        });
        let (whole, parts) = match made {
            Ok(made) => made,
            Err(error) => return Verdict::NotSamples(error),
        };
        let [fewer, more] = [pieces.samples[0], pieces.samples.iter().sum()];
        let terms = whole.programs.terms();
        let growth = terms.grown_from(parts[0].programs.terms(), (fewer, more));
        let refused = |reason| ObjectiveError::NotReducedSo { reduction, reason }.into();
        let evidence = match (growth, reduction) {
            (Growth::Sum, Reduction::Sum) | (Growth::Mean, Reduction::Mean) => {
                Evidence::Terms(Arc::new(Reference {
                    terms: terms.clone(),
                    divisor: more as f64,
                    samples: whole.batch.samples,
                    of_one_sample: cut.samples == 1,
                }))
            }
            (Growth::Unknown, _) => Evidence::Counted,
            (Growth::Reduced { operation, divides, value }, _) => {
                let axes = cut.axes(whole.programs.batch_inputs());
                let common = !divides && axes.are_common(whole.recorded(), value);
                let reason =
                    if common { no_samples(&operation) } else { not_linear(&operation, divides) };
                return Verdict::NotSamples(refused(reason));
            }
            (Growth::Uneven { operation, fewer: few, more: many }, _) => {
                let pairs = few * more * more == many * fewer * fewer;
                let reason = uneven(&operation, (fewer, few), (more, many), pairs);
                return if pairs {
                    Verdict::Pairs(refused(reason))
                } else {
                    Verdict::NotSamples(refused(reason))
                };
            }
            (growth, _) => return Verdict::Refuted(refused(other_law(&growth, fewer, more))),
        };
        let own = terms.are_own(whole.recorded(), &cut.axes(whole.programs.batch_inputs()));
        let compared = self.expect_parts(&whole, &parts, &pieces.samples, reduction);
        let compared = compared.and_then(|()| {
            if own { Ok(()) } else { self.expect_any_order(cut, &pieces.whole, reduction) }
        });
        match compared {
            Ok(()) => Verdict::Holds(Law { reduction, evidence }),
            Err(error) => Verdict::NotSamples(halved(error, cut.samples)),
        }
    }

    /// Compares the loss of a batch with those of its parts, here and at other parameters.
    fn expect_parts(
        &self,
        whole: &Part<B>,
        parts: &[Part<B>; 2],
        samples: &[usize; 2],
        reduction: Reduction,
    ) -> Result<(), Error> {
        let moved = self.parameters().space().normal(SEED);
        let moved = self.at_keeping_buffers(&self.parameters().clone().axpy(STEP, &moved)?)?;
        self.expect_sum(whole, parts, samples, reduction)?;
        match moved.expect_sum(whole, parts, samples, reduction) {
            // Other parameters may be out of the range of the loss.
            Err(error)
                if !matches!(error.downcast_ref(), Some(ObjectiveError::NotReducedSo { .. })) =>
            {
                Ok(())
            }
            compared => compared,
        }
    }

    fn expect_sum(
        &self,
        whole: &Part<B>,
        parts: &[Part<B>; 2],
        samples: &[usize; 2],
        reduction: Reduction,
    ) -> Result<(), Error> {
        let whole = self.value_of(whole)?;
        let total: usize = samples.iter().sum();
        let (mut expected, mut scale) = (0.0, whole.abs());
        for (part, samples) in parts.iter().zip(samples) {
            let value = self.value_of(part)?;
            let weight = match reduction {
                Reduction::Sum => 1.0,
                Reduction::Mean => *samples as f64 / total as f64,
            };
            expected += weight * value;
            scale += value.abs();
        }
        if (whole - expected).abs() <= TOLERANCE * scale {
            return Ok(());
        }
        let reason = format!(
            "the loss of the batch is {whole}, and by the losses of its parts it would be {expected}; samples whose losses \
             depend on each other have no such reduction"
        );
        Err(ObjectiveError::NotReducedSo { reduction, reason }.into())
    }
}

/// Seed and size of the step to other parameters, at which losses that are equal or zero here differ.
pub(super) const SEED: u64 = 0x5eed;
pub(super) const STEP: f64 = 0.1;

/// Relative difference that counts as rounding.
const TOLERANCE: f64 = 1e-3;

fn halved(error: Error, samples: usize) -> Error {
    let message = match error.downcast_ref() {
        Some(CaptureError::Panicked { message }) => message.clone(),
        _ => match error.downcast_ref() {
            Some(ObjectiveError::NotFiniteLoss { value, .. }) => format!("its loss is {value}"),
            _ => return error,
        },
    };
    ObjectiveError::Halved { samples, message }.into()
}

fn not_linear(operation: &str, divides: bool) -> String {
    if divides {
        return "it is divided by a value that the batch decides, such as the number of tokens that count or a sum of class \
                weights"
            .into();
    }
    format!("{operation} acts on what was reduced over the samples")
}

/// Of a term with as many elements for so many samples.
fn uneven(operation: &str, few: (usize, usize), many: (usize, usize), pairs: bool) -> String {
    let counts = format!(
        "by {operation} a term has {} elements for {} samples and {} for {}",
        few.1, few.0, many.1, many.0
    );
    if pairs {
        return format!(
            "{counts}: every sample meets every other, as where a tensor of shape [n, 1] is combined with one of shape [1, n]. \
             Give targets the shape of the outputs; if pairs are meant, reduce them to one loss per sample"
        );
    }
    format!(
        "{counts}, so that not every element is a sample's: other tensors of the batch add elements of their own"
    )
}

fn no_samples(operation: &str) -> String {
    format!(
        "a term of it, by {operation}, is computed from tensors of the batch that are common to all samples, and which of its \
         tensors are samples is not said by a scalar. Add the term to the loss of each sample (`Loss::mean_of(losses + \
         term)`), or let the model hold such tensors, as parameters that are frozen"
    )
}

fn other_law(growth: &Growth, fewer: usize, more: usize) -> String {
    match growth {
        Growth::Sum => {
            format!("with {fewer} as with {more} samples its terms have the same factors, as those of a sum do")
        }
        Growth::Mean => format!(
            "with {fewer} as with {more} samples its terms are divided by the number of samples, as those of a mean are"
        ),
        Growth::SumAndOthers => {
            "it is a sum with a term that does not depend on samples, such as a weight decay, which every batch would add: leave \
             it out here (operators, K-FAC and the optimizers take a weight decay of their own), or give each sample its share"
                .into()
        }
        Growth::Neither { ratio } => format!(
            "from {fewer} to {more} samples the factor of a term is multiplied by {ratio:.6}; that of a sum stays the same, and that \
             of a mean falls as one over the number of samples"
        ),
        Growth::Reduced { operation, divides, .. } => not_linear(operation, *divides),
        Growth::Uneven { operation, fewer: few, more: many } => {
            uneven(operation, (fewer, *few), (more, *many), false)
        }
        Growth::Unknown => "the recordings differ in more than the number of samples".into(),
    }
}
