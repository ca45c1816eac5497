//! Whether the loss of a sample depends on that sample only: shown by the program where the samples can be followed through
//! it, and by numbers elsewhere, on a part of the batch and in other orders of the samples.

use burn_backend::AutodiffBackend;

use super::{
    cut::Cut,
    order::{ORDERS, Precise, shuffled},
};
use crate::{
    error::Error,
    objective::{
        Objective, ObjectiveError,
        batches::{Counted, Part},
        samples::Use,
    },
    tensor::Operand,
};

/// Difference that counts as rounding, relative to the largest loss.
const TOLERANCE: f64 = 1e-3;

impl<B: AutodiffBackend> Objective<B> {
    /// Checks that the losses of the samples of the first batch depend on one sample each, once per recording: by the program;
    /// failing that, that they are the same in the first half of the batch and in other orders. Taken on trust where the
    /// closure does not accept another number of samples, for a single sample, and where random values are drawn.
    ///
    /// # Errors
    /// [`ObjectiveError::SharedLosses`]; as [`returning_losses`](Self::returning_losses).
    pub(crate) fn expect_own_losses(&self) -> Result<(), Error> {
        self.with_part(0, |part| {
            let programs = &part.programs;
            if programs.own_losses.get().is_none() {
                if part.batch.samples > 1 && programs.draws() == 0 {
                    self.compare_losses(part)?;
                }
                programs.own_losses.get_or_init(|| ());
            }
            Ok(())
        })
    }

    fn compare_losses(&self, part: &Part<B>) -> Result<(), Error> {
        let used = part.programs.used(Use::Returned)?;
        let cuts = Cut::all(&part.batch);
        let shown = |cut: &Cut| {
            let axes = cut.axes(used.batch_inputs());
            let losses = used.recorded().outputs().get(1);
            cut.samples == part.batch.samples
                && losses.is_some_and(|&losses| axes.are_own(used.recorded(), losses))
        };
        if cuts.iter().any(shown) {
            return Ok(());
        }
        let whole = self.losses_of(part)?;
        let scale = whole.iter().fold(0.0, |largest: f64, loss| largest.max(loss.abs()));
        let mut refuted = None;
        for cut in cuts {
            let [half, _] = cut.pieces(&part.batch, &part.batch).parts;
            // A closure that takes no other number of samples, or a cut along something else.
            let Ok(half) = self.losses_of_counted(half) else { continue };
            let mut pairs = half.iter().zip(&whole).enumerate();
            let apart = |(half, whole): (&f64, &f64)| (half - whole).abs() > TOLERANCE * scale;
            match pairs.find(|(_, pair)| apart(*pair)) {
                None => return self.expect_losses_in_any_order(&cut, &part.batch),
                Some((sample, (&alone, &together))) => {
                    let error = ObjectiveError::SharedLosses {
                        sample,
                        part: half.len(),
                        alone: alone.to_string(),
                        whole: whole.len(),
                        together: together.to_string(),
                    };
                    refuted = refuted.or(Some(error));
                }
            }
        }
        refuted.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Checks that the losses of the samples move with them.
    fn expect_losses_in_any_order(&self, cut: &Cut, batch: &Counted<B>) -> Result<(), Error> {
        let Precise { objective, tolerance } = self.precise()?;
        // Other parameters may be out of the range of the loss.
        let Ok(expected) = objective.losses_of_counted(batch.clone()) else { return Ok(()) };
        let scale = expected.iter().fold(0.0, |largest: f64, loss| largest.max(loss.abs()));
        for number in 0..ORDERS {
            let order = shuffled(cut.samples, number);
            let Ok(found) = objective.losses_of_counted(cut.ordered(batch, &order)) else {
                continue;
            };
            let mut pairs = order.iter().zip(&found);
            let apart = |(&sample, loss): (&usize, &f64)| {
                (loss - expected[sample]).abs() > tolerance * scale
            };
            if let Some((&sample, loss)) = pairs.find(|pair| apart(*pair)) {
                return Err(ObjectiveError::SharedLosses {
                    sample,
                    part: expected.len(),
                    alone: loss.to_string(),
                    whole: expected.len(),
                    together: expected[sample].to_string(),
                }
                .into());
            }
        }
        Ok(())
    }

    fn losses_of_counted(&self, batch: Counted<B>) -> Result<Vec<f64>, Error> {
        let samples = batch.samples;
        let part = Part::new(&self.recorder, &self.values, batch)?;
        let losses = self.losses_of(&part)?;
        let found = losses.len();
        if found != samples {
            return Err(ObjectiveError::LossCount { losses: found, samples }.into());
        }
        Ok(losses)
    }

    /// The losses of the samples of a batch.
    fn losses_of(&self, part: &Part<B>) -> Result<Vec<f64>, Error> {
        let programs = part.programs.used(Use::Returned)?;
        let losses = programs.outputs()?.run(self.inputs(part)?)?.into_iter().next();
        let data = losses.map(Operand::into_data).transpose()?;
        Ok(data.map(|data| data.iter::<f64>().collect()).unwrap_or_default())
    }
}
