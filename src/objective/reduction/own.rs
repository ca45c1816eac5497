//! Whether the loss of a sample depends on that sample only: by numbers, on a batch and a part of it.

use burn_backend::AutodiffBackend;

use super::cut::Cut;
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
    /// Checks on the first half of the first batch that the losses of its samples are what they are in the whole batch, once
    /// per recording. Taken on trust where the closure does not accept another number of samples, for a single sample, and
    /// where random values are drawn.
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
        let whole = self.losses_of(part)?;
        let scale = whole.iter().fold(0.0, |largest: f64, loss| largest.max(loss.abs()));
        let mut refuted = None;
        for cut in Cut::all(&part.batch) {
            let [half, _] = cut.pieces(&part.batch, &part.batch).parts;
            // A closure that takes no other number of samples, or a cut along something else.
            let Ok(half) = self.losses_of_counted(half) else { continue };
            let mut pairs = half.iter().zip(&whole).enumerate();
            let apart = |(half, whole): (&f64, &f64)| (half - whole).abs() > TOLERANCE * scale;
            match pairs.find(|(_, pair)| apart(*pair)) {
                None => return Ok(()),
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
