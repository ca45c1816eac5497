//! Objectives over a data set: batches of any iterator, held, or a stream that is run again for every pass.

use std::sync::{Arc, atomic::AtomicUsize};

use burn_backend::AutodiffBackend;

use super::{
    Objective, ObjectiveError, Reduction,
    batches::{Counted, Part, Parts, Visit},
    excerpt::Excerpt,
    stream::{Fetched, Run, Stream},
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
    /// ℒ_b is the loss of batch b, n_b its number of samples, N = Σ n_b. `reduction`, this crate's or Burn's, is what
    /// the closure does with the samples of a batch. A closure that returns a [`Loss`](crate::Loss) states this itself,
    /// and n_b is its count or weight. The reduction of a scalar loss is proven from the recorded programs of all
    /// batches, for all parameters: n_b is what the program divides the sum of its terms by, so that ℒ is the sum of
    /// all terms over the sum of all divisors (samples, or tokens for a mean over tokens), whichever dimension they are
    /// in. A loss that is divided by something in the data is refused. If a batch states a number of
    /// [samples](Batch::samples), that must be the divisor. That samples do not influence each other is proven from the
    /// program or, where samples cannot be followed through it, checked numerically: see
    /// [`reduced_by`](Self::reduced_by).
    ///
    /// The reduction then also counts as stated for operators that need it, as by [`reduced_by`](Self::reduced_by).
    /// Batches of other sizes, such as a ragged last one, are recorded on first use. The tensors of all batches are
    /// kept, not copied; see [`over_stream`](Self::over_stream) for data that does not fit in memory.
    ///
    /// The part of a product that does not depend on the vector is kept for as many batches as the
    /// [memory budget](Self::with_memory_budget) allows, and recomputed for the others.
    ///
    /// # Cost
    /// Every value, gradient and product costs the sum of those of the batches.
    ///
    /// # Errors
    /// [`ObjectiveError::NoBatches`], [`ObjectiveError::NotReducedSo`], [`ObjectiveError::Halved`],
    /// [`ObjectiveError::OtherReduction`], [`ObjectiveError::NoWeight`] if no sample of all batches counts; the errors of
    /// [`on`](Self::on).
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
        let reduction = reduction.into();
        self.sharing(self.kept(batches, reduction), reduction)
    }

    /// All batches, kept, weighed among themselves.
    fn kept<X: Batch>(
        &self,
        batches: impl IntoIterator<Item = X>,
        reduction: Reduction,
    ) -> Result<Self, Error> {
        let part = |(number, batch): (usize, X)| {
            let batch = self.recorder.counted(batch)?;
            self.part(number, batch)
        };
        let parts = batches.into_iter().enumerate().map(part);
        let parts: Result<Vec<Part<B>>, Error> = parts.collect();
        self.with_all(parts?, reduction)
    }

    #[inline(never)]
    fn with_all(&self, parts: Vec<Part<B>>, reduction: Reduction) -> Result<Self, Error> {
        let outlines: Vec<_> = parts.iter().map(Part::outline).collect();
        let mut samples = Sample::default();
        parts.iter().for_each(|part| samples.add(&part.batch));
        let (stating, weights) = self.weighed(&samples.0, &outlines, reduction)?;
        if stating.counts_samples() {
            for part in &parts {
                self.expect_halves(&part.batch, reduction)?;
            }
        }
        let parts = parts.into_iter().zip(weights).map(|(part, (_, weight))| part.weighted(weight));
        Ok(stating.with_parts(Parts::Kept(parts.collect())))
    }

    /// The same loss over a data set that is fetched again for every pass.
    ///
    /// As [`over`](Self::over), but `stream` is run once for every value, gradient and product. It must pass on the same
    /// batches in the same order each time: with a shuffling loader products would mix orders. It is run
    /// once here to count the samples. Later passes compare 64 elements of each tensor: every pass on Flex and ndarray,
    /// elsewhere the first, second, fourth, eighth and so on, since each comparison waits for the device.
    ///
    /// # Errors
    /// As [`over`](Self::over); [`ObjectiveError::Data`] and other failures of the stream;
    /// [`ObjectiveError::StreamChanged`] in a pass whose batches differ from those of the first one.
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
        let reduction = reduction.into();
        self.sharing(self.streamed(reduction, stream), reduction)
    }

    /// All batches, fetched again for every pass, weighed among themselves.
    fn streamed<X, F>(&self, reduction: Reduction, stream: F) -> Result<Self, Error>
    where
        X: Batch + 'static,
        F: Fn(&mut dyn FnMut(X) -> Result<(), Error>) -> Result<(), Error> + Send + Sync + 'static,
    {
        let recorder = Arc::clone(&self.recorder);
        let run =
            move |visit: Visit<'_, B>| stream(&mut |batch: X| visit(recorder.counted(batch)?));
        self.with_stream(Arc::new(run), reduction)
    }

    #[inline(never)]
    fn with_stream(&self, run: Arc<Run<B>>, reduction: Reduction) -> Result<Self, Error> {
        let (mut outlines, mut samples) = (Vec::new(), Sample::default());
        let mut excerpts = Vec::new();
        run(&mut |batch| {
            excerpts.push(Arc::new(Excerpt::of::<B>(&batch.operands)?));
            let part = self.part(outlines.len(), batch)?;
            outlines.push(part.outline());
            samples.add(&part.batch);
            Ok(())
        })?;
        if outlines.is_empty() {
            return Err(ObjectiveError::NoBatches.into());
        }
        let (stating, weights) = self.weighed(&samples.0, &outlines, reduction)?;
        if stating.counts_samples() {
            run(&mut |batch| self.expect_halves(&batch, reduction))?;
        }
        let batches = outlines.iter().zip(excerpts).zip(weights);
        let batches = batches.map(|((outline, excerpt), (divisor, weight))| Fetched {
            samples: outline.samples,
            excerpt,
            stated: outline.stated,
            divisor,
            weight,
        });
        let (batches, views) = (batches.collect(), Vec::new());
        let stream = Stream { run, batches, views, passes: AtomicUsize::default() };
        Ok(stating.with_parts(Parts::Streamed(Arc::new(stream))))
    }
}

/// Some batches of a data set, by which its reduction is found out: the first two, and the first of several samples.
struct Sample<B: AutodiffBackend>(Vec<Counted<B>>);

impl<B: AutodiffBackend> Default for Sample<B> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<B: AutodiffBackend> Sample<B> {
    fn add(&mut self, batch: &Counted<B>) {
        let shows_more = |first: &Counted<B>| batch.samples > 1 && first.samples == 1;
        if self.0.first().is_some_and(shows_more) {
            self.0.insert(0, batch.clone());
        } else if self.0.len() < 2 {
            self.0.push(batch.clone());
        }
    }
}
