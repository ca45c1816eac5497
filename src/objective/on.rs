//! The same loss on another batch, or in another precision.

use std::sync::{Arc, atomic::AtomicUsize};

use burn_backend::AutodiffBackend;

use super::{
    Objective, ObjectiveError,
    batches::{Counted, Part, Parts, Stated},
    capturing::expect_precision,
    stream::{Fetched, Stream},
    values::Values,
};
use crate::{
    capture::Batch,
    error::Error,
    tensor::{Precision, TensorBridge},
};

impl<B: AutodiffBackend> Objective<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The same loss on another batch. A batch of known sizes and structure reuses the recording; others are recorded
    /// on first use and kept.
    ///
    /// # Errors
    /// [`BatchError`](crate::errors::BatchError) for a batch of another type with other parts than the one captured, or with
    /// an empty tensor; a batch on another device; [`ObjectiveError::NoWeight`](crate::errors::ObjectiveError::NoWeight);
    /// [`ObjectiveError::NotReducedSo`](crate::errors::ObjectiveError::NotReducedSo) if a reduction was stated and the loss
    /// of this batch has another; those of capturing.
    pub fn on<X: Batch>(&self, batch: X) -> Result<Self, Error> {
        let made = self.single(batch);
        match self.reduction() {
            Some(reduction) => self.sharing(made, reduction),
            None => made,
        }
    }

    fn single<X: Batch>(&self, batch: X) -> Result<Self, Error> {
        self.with_batch(self.recorder.counted(batch)?)
    }

    #[inline(never)]
    fn with_batch(&self, batch: Counted<B>) -> Result<Self, Error> {
        let part = Part::new(&self.recorder, &self.values, batch)?;
        let part = match part.stated {
            // The batches of other ranks may count.
            Stated::Mean { divisor: 0.0 } if self.is_shared() => part,
            _ => part.alone()?,
        };
        self.expect_same_reduction(&part)?;
        Ok(self.with_parts(Parts::Kept([part].into())))
    }

    /// The same objective computed in f64, from the same recording; parameters and batch are converted.
    ///
    /// # Errors
    /// A backend without f64.
    pub fn in_f64(&self) -> Result<Self, Error> {
        self.in_precision(Precision::F64)
    }

    /// The same objective computed in another precision.
    ///
    /// Batches are weighed again where the closure states a sum of weights ([`Loss::weighted`](crate::Loss::weighted)), for which
    /// a stream is run once. On a [shared](Self::shared) objective each rank weighs its own; call this before giving it batches,
    /// so that their weights are those of this precision on all ranks.
    ///
    /// # Errors
    /// A backend without that precision.
    #[inline(never)]
    pub fn in_precision(&self, precision: Precision) -> Result<Self, Error> {
        expect_precision::<B>(self.values.device(), precision)?;
        let parameters = self.parameters().clone().cast(precision)?;
        let values = Values::new(parameters, self.values.buffers.clone())?;
        let converted = Self { values, ..self.with_parts(self.parts.clone()) };
        let parts = match &self.parts {
            Parts::Kept(parts) => converted.kept_again(parts)?,
            Parts::Streamed(stream) => converted.streamed_again(stream)?,
        };
        Ok(Self { parts, ..converted })
    }
}

impl<B: AutodiffBackend> Objective<B> {
    /// The batches of another precision in this one.
    fn kept_again(&self, parts: &[Part<B>]) -> Result<Parts<B>, Error> {
        let made = parts.iter().map(|part| {
            let made = Part::new(&self.recorder, &self.values, part.batch.clone())?;
            Ok(made.weighted(part.weight))
        });
        let made: Vec<Part<B>> = made.collect::<Result<_, Error>>()?;
        let stated = |parts: &[Part<B>]| total(parts.iter().map(|part| part.stated));
        let factor = factor(stated(parts), stated(&made))?;
        let weighed = made.into_iter().map(|part| {
            let weight = part.weight * factor;
            part.weighted(weight)
        });
        Ok(Parts::Kept(weighed.collect()))
    }

    /// The same for batches that are fetched: once more, if the closure states what they are divided by.
    fn streamed_again(&self, stream: &Arc<Stream<B>>) -> Result<Parts<B>, Error> {
        let stated = |batches: &[Fetched]| total(batches.iter().map(|batch| batch.stated));
        let Some(before) = stated(&stream.batches) else {
            return Ok(Parts::Streamed(Arc::clone(stream)));
        };
        let (mut batches, mut count) = (stream.batches.clone(), 0);
        (stream.run)(&mut |batch| {
            let part = self.part(count, batch)?;
            stream.expect_elements(count, &part.batch)?;
            if let (Some(batch), Stated::Mean { divisor }) = (batches.get_mut(count), part.stated) {
                (batch.stated, batch.divisor) = (part.stated, divisor);
            }
            count += 1;
            Ok(())
        })?;
        stream.expect_count(count)?;
        let factor = factor(Some(before), stated(&batches))?;
        batches.iter_mut().for_each(|batch| batch.weight *= factor);
        let (run, views) = (Arc::clone(&stream.run), stream.views.clone());
        let stream = Stream { run, batches, views, passes: AtomicUsize::default() };
        Ok(Parts::Streamed(Arc::new(stream)))
    }
}

/// The sum of what the closure states that batches are divided by, if it states that.
fn total(stated: impl Iterator<Item = Stated>) -> Option<f64> {
    let divisors = stated.map(|stated| match stated {
        Stated::Mean { divisor } => Some(divisor),
        Stated::Nothing | Stated::Sum => None,
    });
    divisors.sum()
}

/// What weights are multiplied by where the sum that they were divided by is another one, as it is rounded in another precision.
fn factor(before: Option<f64>, now: Option<f64>) -> Result<f64, ObjectiveError> {
    match (before, now) {
        (Some(before), Some(now)) if before != now => {
            let factor = before / now;
            if factor.is_finite() { Ok(factor) } else { Err(ObjectiveError::NoWeight) }
        }
        _ => Ok(1.0),
    }
}
