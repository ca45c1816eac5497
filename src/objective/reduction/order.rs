//! The samples of a batch in other orders: losses that depend on one sample each do not change. For programs through which
//! the samples cannot be followed; as exact as the device computes.

use burn_backend::AutodiffBackend;

use super::{
    Reduction,
    cut::Cut,
    proof::{SEED, STEP},
};
use crate::{
    error::Error,
    execute::supports,
    objective::{
        Objective, ObjectiveError,
        batches::{Counted, Part},
        values::Values,
    },
    seeds::Seeds,
    tensor::Precision,
};

/// Orders that are tried.
pub(super) const ORDERS: u64 = 4;

/// An objective that computes as exactly as the device can, and the relative difference that counts as rounding there.
pub(super) struct Precise<B: AutodiffBackend> {
    pub objective: Objective<B>,
    pub tolerance: f64,
}

impl<B: AutodiffBackend> Objective<B> {
    /// At other parameters: losses that are equal or zero here may hide what they depend on.
    pub(super) fn precise(&self) -> Result<Precise<B>, Error> {
        let device = self.parameters().device();
        let in_f64 = supports::<B::InnerBackend>(device, Precision::F64.dtype().into());
        let (precision, tolerance) =
            if in_f64 { (Precision::F64, 1e-8) } else { (self.precision(), 1e-3) };
        let away = self.parameters().space().normal(SEED);
        let moved = self.parameters().clone().axpy(STEP, &away)?.cast(precision)?;
        let values = Values::new(moved, self.values.buffers.clone())?;
        let objective = Self { values, ..self.with_parts(self.parts.clone()) };
        Ok(Precise { objective, tolerance })
    }

    /// Checks that the loss of a batch and of its halves stay a sum or a mean in other orders of the samples.
    ///
    /// # Errors
    /// [`ObjectiveError::NotReducedSo`].
    pub(super) fn expect_any_order(
        &self,
        cut: &Cut,
        batch: &Counted<B>,
        reduction: Reduction,
    ) -> Result<(), Error> {
        let Precise { objective, tolerance } = self.precise()?;
        let loss = |batch: &Counted<B>| {
            objective.value_of(&Part::new(&objective.recorder, &objective.values, batch.clone())?)
        };
        let compared = || -> Result<(), Error> {
            let expected = loss(batch)?;
            for order in 0..ORDERS {
                let shuffled = cut.ordered(batch, &shuffled(cut.samples, order));
                let pieces = cut.pieces(&shuffled, &shuffled);
                let (mut by_halves, mut scale) = (0.0, expected.abs());
                for (part, samples) in pieces.parts.iter().zip(pieces.samples) {
                    let value = loss(part)?;
                    let share = samples as f64 / cut.samples as f64;
                    by_halves += if reduction == Reduction::Mean { share * value } else { value };
                    scale += value.abs();
                }
                for found in [loss(&shuffled)?, by_halves] {
                    if (found - expected).abs() > tolerance * scale {
                        let reason = format!(
                            "with its samples in another order the loss of the batch is {found} in place of {expected}; \
                             samples whose losses depend on each other have no such reduction"
                        );
                        return Err(ObjectiveError::NotReducedSo { reduction, reason }.into());
                    }
                }
            }
            Ok(())
        };
        match compared() {
            // Other parameters may be out of the range of the loss.
            Err(error)
                if !matches!(error.downcast_ref(), Some(ObjectiveError::NotReducedSo { .. })) =>
            {
                Ok(())
            }
            compared => compared,
        }
    }
}

/// The indices of samples in an order that follows from a number.
pub(super) fn shuffled(samples: usize, number: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..samples).collect();
    let mut seeds = Seeds::new(SEED.wrapping_add(number));
    for last in (1..samples).rev() {
        order.swap(last, (seeds.next() % (last as u64 + 1)) as usize);
    }
    order
}
