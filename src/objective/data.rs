//! Objectives over a data set: batches of any iterator, held, or a stream that is run again for every pass.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    Objective, ObjectiveError, Reduction,
    batches::{Counted, Part, Parts, Stream, Visit},
};
use crate::{capture::Batch, error::Error, tensor::TensorBridge};

impl<B: AutodiffBackend> Objective<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The same loss over a data set: the sum or mean over the *samples* of all batches, whatever their sizes.
    ///
    /// ```text
    /// Sum    ℒ = Σ_b ℒ_b              Mean    ℒ = Σ_b (n_b / N) ℒ_b
    /// ```
    ///
    /// `reduction`, this crate's or Burn's, is what the closure does with the samples of a batch. It is checked on the
    /// first batch of several samples (the loss of the batch against those of its halves), and stated for operators that
    /// need it, as by [`reduced_by`](Self::reduced_by). The number of samples n_b is the size of the first dimension of a
    /// batch's first tensor, unless the batch says otherwise by [`samples`](Batch::samples). Batches of other sizes, such
    /// as a ragged last one, are recorded on first use. The tensors of all batches are kept, not copied; see
    /// [`over_stream`](Self::over_stream) for data that does not fit in memory.
    ///
    /// The part of a product that does not depend on the vector is kept for as many batches as the
    /// [memory budget](Self::with_memory_budget) allows, and recomputed for the others.
    ///
    /// # Cost
    /// Every value, gradient and product costs the sum of those of the batches.
    ///
    /// # Errors
    /// [`ObjectiveError::NoBatches`], [`ObjectiveError::NotReducedSo`], [`ObjectiveError::Halved`],
    /// [`ObjectiveError::OtherReduction`]; the errors of [`on`](Self::on).
    ///
    /// # Example
    /// The mean over three samples in batches of two and one; ℒ = ½ mean (x w − y)², so H = mean x².
    ///
    /// ```
    /// use burn::{module::Param, prelude::*};
    /// use burn_curvature::{Hessian, LinearOperator, Objective, Reduction};
    ///
    /// #[derive(Module, Debug)]
    /// struct Slope {
    ///     w: Param<Tensor<2>>,
    /// }
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::default().autodiff();
    /// let model = Slope { w: Param::from_tensor(Tensor::from_floats([[0.5]], &device)) };
    /// let first = Tensor::<2>::from_floats([[1.0], [2.0]], &device);
    /// let last = Tensor::<2>::from_floats([[4.0]], &device);
    /// let batches = [(first.clone(), first), (last.clone(), last)];
    ///
    /// let objective = Objective::capture(&model, batches[0].clone(), |model, (x, y)| {
    ///     (x.matmul(model.w.val()) - y).powf_scalar(2.0).mean() * 0.5
    /// })?;
    /// let risk = objective.over(batches, Reduction::Mean)?;
    /// let one = risk.parameters().space().ones();
    /// assert_eq!(Hessian::new(&risk)?.apply(&one)?.to_vec()?, [7.0]); // (1 + 4 + 16) / 3
    /// # Ok(())
    /// # }
    /// ```
    pub fn over<X: Batch>(
        &self,
        batches: impl IntoIterator<Item = X>,
        reduction: impl Into<Reduction>,
    ) -> Result<Self, Error> {
        let batches: Result<Vec<Counted<B>>, Error> =
            batches.into_iter().map(|batch| self.recorder.counted(batch)).collect();
        let batches = batches?;
        if batches.is_empty() {
            return Err(ObjectiveError::NoBatches.into());
        }
        let reduction = reduction.into();
        if let Some(several) = batches.iter().find(|batch| batch.can_be_halved()) {
            self.expect_reduction(several, reduction)?;
        }
        let total = batches.iter().map(|batch| batch.samples).sum();
        let parts: Result<Vec<_>, Error> = batches
            .into_iter()
            .map(|batch| {
                let weight = Parts::<B>::weight(reduction, batch.samples, total);
                Part::new(&self.recorder, &self.values, batch, weight)
            })
            .collect();
        self.with_parts(Parts::Kept(parts?.into())).stating(reduction)
    }

    /// The same loss over a data set that is fetched again for every pass.
    ///
    /// As [`over`](Self::over), but `stream` is run once for every value, gradient and product, and passes on one batch
    /// after another, always the same ones in the same order: a shuffling loader breaks the symmetry of the Hessian.
    /// It is run once here to count the samples.
    ///
    /// # Errors
    /// As [`over`](Self::over); [`ObjectiveError::Data`] and other failures of the stream;
    /// [`ObjectiveError::StreamChanged`] in a pass that sees other batches than the first one.
    ///
    /// # Example
    /// A Burn data loader reports failures for each batch:
    ///
    /// ```ignore
    /// let risk = objective.over_stream(Reduction::Mean, move |visit| {
    ///     loader.iter().try_for_each(|batch| visit(batch.map_err(ObjectiveError::data)?))
    /// })?;
    /// ```
    pub fn over_stream<X, F>(
        &self,
        reduction: impl Into<Reduction>,
        stream: F,
    ) -> Result<Self, Error>
    where
        X: Batch + 'static,
        F: Fn(&mut dyn FnMut(X) -> Result<(), Error>) -> Result<(), Error> + Send + Sync + 'static,
    {
        let (recorder, reduction) = (Arc::clone(&self.recorder), reduction.into());
        let run =
            move |visit: Visit<'_, B>| stream(&mut |batch: X| visit(recorder.counted(batch)?));
        let (mut sizes, mut checked) = (Vec::new(), false);
        run(&mut |batch| {
            if batch.can_be_halved() && !checked {
                self.expect_reduction(&batch, reduction)?;
                checked = true;
            }
            sizes.push(batch.samples);
            Ok(())
        })?;
        if sizes.is_empty() {
            return Err(ObjectiveError::NoBatches.into());
        }
        let stream = Stream { run: Box::new(run), sizes, reduction };
        self.with_parts(Parts::Streamed(Arc::new(stream))).stating(reduction)
    }
}
