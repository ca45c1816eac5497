//! Objectives over a data set: batches of any iterator, held, or a stream that is run anew for every pass.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, Backend, Slice};

use super::{
    Objective, ObjectiveError, Recorder,
    parts::{Counted, Part, Parts, Reduction, Stream, Visit, samples},
    source,
};
use crate::{
    capture::{Batch, CaptureError},
    error::Error,
    tensor::{Operand, TensorBridge},
};

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

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
    /// `reduction` says what the traced closure does with the samples of a batch; on the first batch of several samples it
    /// is checked that it does (the loss of the batch against those of its halves). The number of samples n_b is the size
    /// of the first dimension of a batch's first tensor: a tensor that counts something else, such as a mask for all
    /// samples, must not come first, nor may another dimension count the samples. Batches of other sizes, such as a ragged last one, are recorded on first
    /// use. The tensors of all batches are kept, not copied; see [`over_stream`](Self::over_stream) for data that does
    /// not fit in memory.
    ///
    /// What of a product does not depend on the vector is kept for as many batches as the
    /// [memory budget](Self::with_memory_budget) allows, and recomputed for the others.
    ///
    /// # Cost
    /// Every value, gradient and product costs the sum of those of the batches.
    ///
    /// # Errors
    /// [`ObjectiveError::NoBatches`], [`ObjectiveError::NotReducedSo`], [`ObjectiveError::Halved`]; what [`on`](Self::on) refuses.
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
    /// let objective = Objective::trace(&model, batches[0].clone(), |model, (x, y)| {
    ///     (x.matmul(model.w.val()) - y).powf_scalar(2.0).mean() * 0.5
    /// })?;
    /// let risk = objective.over(batches, Reduction::Mean)?;
    /// let one = risk.parameters().space().ones();
    /// assert_eq!(Hessian::new(&risk).apply(&one)?.to_vec()?, [7.0]); // (1 + 4 + 16) / 3
    /// # Ok(())
    /// # }
    /// ```
    pub fn over<X: Batch>(
        &self,
        batches: impl IntoIterator<Item = X>,
        reduction: Reduction,
    ) -> Result<Self, Error> {
        let batches: Result<Vec<Counted<B>>, Error> =
            batches.into_iter().map(|batch| self.recorder.counted(batch)).collect();
        let batches = batches?;
        if batches.is_empty() {
            return Err(ObjectiveError::NoBatches.into());
        }
        if let Some(several) = batches.iter().find(|batch| batch.can_be_halved()) {
            self.expect_reduction(&several.operands, reduction)?;
        }
        let total = batches.iter().map(|batch| batch.samples).sum();
        let parts: Result<Vec<_>, Error> = batches
            .into_iter()
            .map(|batch| {
                let weight = Parts::<B>::weight(reduction, batch.samples, total);
                Part::new(&self.recorder, &self.parameters, batch.operands, weight)
            })
            .collect();
        Ok(self.over_parts(Parts::Kept(parts?.into()), reduction))
    }

    /// The same loss over a data set that is fetched anew for every pass.
    ///
    /// As [`over`](Self::over), but `stream` is run once for every value, gradient and product, and hands over one batch
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
    pub fn over_stream<X, F>(&self, reduction: Reduction, stream: F) -> Result<Self, Error>
    where
        X: Batch + 'static,
        F: Fn(&mut dyn FnMut(X) -> Result<(), Error>) -> Result<(), Error> + Send + Sync + 'static,
    {
        let recorder = Arc::clone(&self.recorder);
        let run =
            move |visit: Visit<'_, B>| stream(&mut |batch: X| visit(recorder.counted(batch)?));
        let (mut sizes, mut checked) = (Vec::new(), false);
        run(&mut |batch| {
            if batch.can_be_halved() && !checked {
                self.expect_reduction(&batch.operands, reduction)?;
                checked = true;
            }
            sizes.push(batch.samples);
            Ok(())
        })?;
        if sizes.is_empty() {
            return Err(ObjectiveError::NoBatches.into());
        }
        let stream = Stream { run: Box::new(run), sizes, reduction };
        Ok(self.over_parts(Parts::Streamed(Arc::new(stream)), reduction))
    }

    fn over_parts(&self, parts: Parts<B>, reduction: Reduction) -> Self {
        let mut over = self.with_parts(parts);
        over.settings.reduction = Some(reduction);
        over
    }
}

impl<B: AutodiffBackend> Recorder<B>
where
    B::InnerBackend: TensorBridge,
{
    fn counted<X: Batch>(&self, batch: X) -> Result<Counted<B>, Error> {
        let told = batch.samples();
        Ok(Counted::new(self.operands(source::tensors(batch))?, told))
    }
}

impl<B: AutodiffBackend> Counted<B> {
    /// Whether its first tensor holds several samples, one after another.
    fn can_be_halved(&self) -> bool {
        !self.told && self.samples > 1
    }
}

impl<B: AutodiffBackend> Objective<B> {
    /// Refuses another reduction than that over the data set; on a single batch, another than the closure's, where the
    /// closure can be evaluated on half of it.
    pub(crate) fn expect_reduction_of_closure(&self, reduction: Reduction) -> Result<(), Error> {
        self.expect_reduction_of_data(reduction)?;
        if self.settings.reduction.is_some() {
            return Ok(());
        }
        self.with_part(0, |part| {
            if samples::<B>(&part.batch) < 2 {
                return Ok(());
            }
            match self.expect_reduction(&part.batch, reduction) {
                Err(error)
                    if matches!(error.downcast_ref(), Some(ObjectiveError::Halved { .. })) =>
                {
                    Ok(())
                }
                checked => checked,
            }
        })
    }

    /// Checks on one batch of several samples that its loss is the sum or mean of those of its two halves.
    fn expect_reduction(&self, batch: &Operands<B>, reduction: Reduction) -> Result<(), Error> {
        let n = samples::<B>(batch);
        let value = |batch: Operands<B>| {
            let part = Part::new(&self.recorder, &self.parameters, batch, 1.0)?;
            self.value_of(&part)
        };
        let half = |from: usize, to: usize| {
            let parts = batch.iter().cloned();
            let sliced = parts.map(|operand| rows(operand, n, from..to));
            sliced.collect::<Operands<B>>()
        };
        let whole = value(batch.clone())?;
        let halved = |error: Error| match error.downcast_ref() {
            Some(CaptureError::Panicked { message }) => {
                ObjectiveError::Halved { samples: n, message: message.clone() }.into()
            }
            _ => error,
        };
        let head = value(half(0, n / 2)).map_err(halved)?;
        let tail = value(half(n / 2, n)).map_err(halved)?;
        let weight = |samples| Parts::<B>::weight(reduction, samples, n);
        let expected = weight(n / 2) * head + weight(n - n / 2) * tail;
        let scale = whole.abs() + head.abs() + tail.abs();
        if (whole - expected).abs() <= 1e-3 * scale {
            return Ok(());
        }
        Err(ObjectiveError::NotReducedSo {
            reduction,
            whole: whole.to_string(),
            expected: expected.to_string(),
        }
        .into())
    }
}

/// Some samples of a tensor; the whole of one whose first dimension does not count samples.
fn rows<B: Backend>(
    operand: Operand<B>,
    samples: usize,
    range: std::ops::Range<usize>,
) -> Operand<B> {
    if operand.shape().iter().next() != Some(&samples) {
        return operand;
    }
    let slices = [Slice::from(range)];
    match operand {
        Operand::Float(tensor) => Operand::Float(B::float_slice(tensor, &slices)),
        Operand::Int(tensor) => Operand::Int(B::int_slice(tensor, &slices)),
        Operand::Bool(tensor) => Operand::Bool(B::bool_slice(tensor, &slices)),
    }
}
