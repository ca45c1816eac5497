//! The same loss on another batch, or in another precision.

use burn_backend::AutodiffBackend;

use super::{
    Objective,
    batches::{Counted, Part, Parts},
    capturing::expect_precision,
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
        let part = Part::new(&self.recorder, &self.values, batch)?.alone()?;
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
    /// # Errors
    /// A backend without that precision.
    #[inline(never)]
    pub fn in_precision(&self, precision: Precision) -> Result<Self, Error> {
        expect_precision::<B>(self.values.device(), precision)?;
        let parameters = self.parameters().clone().cast(precision)?;
        let values = Values::new(parameters, self.values.buffers.clone())?;
        let parts = match &self.parts {
            Parts::Kept(parts) => {
                let converted = parts.iter().map(|part| {
                    let made = Part::new(&self.recorder, &values, part.batch.clone())?;
                    Ok::<_, Error>(made.weighted(part.weight))
                });
                Parts::Kept(converted.collect::<Result<_, _>>()?)
            }
            Parts::Streamed(_) => self.parts.clone(),
        };
        Ok(Self { values, ..self.with_parts(parts) })
    }
}
