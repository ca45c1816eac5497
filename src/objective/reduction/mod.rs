//! How the loss reduces the samples of a batch: stated by the closure, or stated once and proven.

mod cut;
mod law;
mod order;
mod own;
mod proof;

pub(super) use law::Law;

use std::fmt;

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{
    Objective, ObjectiveError,
    batches::{Counted, Outline, Part, Stated},
};
use crate::error::Error;

/// How the loss of a batch combines those of its samples, and that of a data set those of its batches.
///
/// ```text
/// Sum    ℒ = Σₙ ℓₙ              Mean    ℒ = 1/N Σₙ ℓₙ
/// ```
///
/// Burn's [`Reduction`](burn::nn::loss::Reduction) is accepted wherever this one is: its `Sum` is the sum, and its
/// `Mean`, `BatchMean` and `Auto` are means over samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reduction {
    /// The sum over samples.
    Sum,
    /// The mean over samples.
    Mean,
}

impl Reduction {
    /// The c of c·Σₙ over `samples` samples.
    pub(crate) fn factor(self, samples: usize) -> f64 {
        match self {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / samples.max(1) as f64,
        }
    }
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
        })
    }
}

impl From<burn::nn::loss::Reduction> for Reduction {
    fn from(reduction: burn::nn::loss::Reduction) -> Self {
        use burn::nn::loss::Reduction as Burn;
        match reduction {
            Burn::Sum => Reduction::Sum,
            Burn::Mean | Burn::BatchMean | Burn::Auto => Reduction::Mean,
        }
    }
}

impl<B: AutodiffBackend> Objective<B> {
    /// States whether the loss is the sum or the mean over the samples of a batch, for operators that need to know:
    /// [`Fisher`](crate::Fisher), [`EmpiricalFisher`](crate::EmpiricalFisher), [`Kfac`](crate::Kfac),
    /// [`Ekfac`](crate::Ekfac) and [`KfacOptimizer`](crate::KfacOptimizer).
    ///
    /// Needed for a single batch with a scalar loss only: [`Loss`](crate::Loss), [`over`](Self::over) and
    /// [`over_stream`](Self::over_stream) state it too. The statement is checked: the recorded programs of the batch and of
    /// its halves (of a single sample, of the sample twice) must show it, for all parameters, and the losses themselves
    /// must agree. That no sample's loss depends on another sample is shown by the program as well, where the samples can be
    /// followed through it; where they cannot, as through rows picked by computed indices, the loss must not change when the
    /// samples change their order. Where the closure does not accept another number of samples, the statement is taken
    /// on trust.
    ///
    /// # Cost
    /// Six forward passes, four of them on half a batch, which is recorded for it; nine more for samples that cannot be
    /// followed.
    ///
    /// # Errors
    /// [`ObjectiveError::NotReducedSo`], [`ObjectiveError::OtherReduction`] if another reduction was stated before.
    ///
    /// # Example
    /// ℒ = ½ mean (w − y)², so that E = mean (w − y)².
    ///
    /// ```
    /// use burn::{module::Param, nn::loss, prelude::*};
    /// use burn_curvature::{EmpiricalFisher, LinearOperator, Objective, Reduction};
    ///
    /// #[derive(Module, Debug)]
    /// struct Mean {
    ///     w: Param<Tensor<2>>,
    /// }
    ///
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// let device = Device::default().autodiff();
    /// let model = Mean { w: Param::from_tensor(Tensor::zeros([1, 1], &device)) };
    /// let y = Tensor::<2>::from_floats([[1.0], [3.0]], &device);
    /// let objective = Objective::capture(&model, y, |model, y| {
    ///     let z = model.w.val().expand(y.dims());
    ///     (z.clone(), (z - y).powf_scalar(2.0).mean() * 0.5)
    /// })?;
    ///
    /// assert!(EmpiricalFisher::new(&objective).is_err()); // sum or mean?
    /// assert!(objective.reduced_by(Reduction::Sum).is_err()); // it is not the sum
    /// let objective = objective.reduced_by(loss::Reduction::Mean)?; // Burn's
    /// let empirical = EmpiricalFisher::new(&objective)?;
    /// assert_eq!(empirical.apply(&objective.parameters().space().ones())?.to_vec()?, [5.0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reduced_by(&self, reduction: impl Into<Reduction>) -> Result<Self, Error> {
        let reduction = reduction.into();
        if self.settings.law.is_some() {
            return self.stating(reduction);
        }
        self.sharing(self.reduced_as(reduction), reduction)
    }

    #[inline(never)]
    fn reduced_as(&self, reduction: Reduction) -> Result<Self, Error> {
        let batch = self.of_first(|part| Ok(part.batch.clone()))?;
        let law = match self.proven(&batch, &batch, reduction) {
            Err(error) if matches!(error.downcast_ref(), Some(ObjectiveError::Halved { .. })) => {
                Law::trusted(reduction)
            }
            proven => proven?,
        };
        Ok(self.under(law))
    }

    /// The reduction that was stated, or `None`.
    pub fn reduction(&self) -> Option<Reduction> {
        self.settings.law.as_ref().map(|law| law.reduction)
    }

    /// Checks the reduction that was stated on the first batch.
    #[inline(never)]
    pub(crate) fn check_reduction(&self) -> Result<(), Error> {
        let reduction = self.stated_reduction()?;
        self.agreed(self.with_part(0, |part| match part.stated {
            Stated::Nothing => self.proven(&part.batch, &part.batch, reduction).map(drop),
            Stated::Sum | Stated::Mean { .. } => Ok(()),
        }))
    }

    /// The reduction that was stated.
    pub(crate) fn stated_reduction(&self) -> Result<Reduction, ObjectiveError> {
        self.reduction().ok_or(ObjectiveError::NoReduction)
    }

    /// The same objective with a reduction that is known to hold.
    #[inline(never)]
    pub(crate) fn stating(&self, found: Reduction) -> Result<Self, Error> {
        match self.reduction() {
            Some(expected) if expected != found => {
                Err(ObjectiveError::OtherReduction { expected, found }.into())
            }
            Some(_) => Ok(self.clone()),
            None => Ok(self.under(Law::trusted(found))),
        }
    }

    fn under(&self, law: Law) -> Self {
        let mut stating = self.clone();
        stating.settings.law = Some(law);
        stating
    }

    /// Checks that the loss of a single batch has the reduction that was stated, if one was.
    pub(super) fn expect_same_reduction(&self, part: &Part<B>) -> Result<(), Error> {
        let Some(law) = &self.settings.law else { return Ok(()) };
        let shown = part.programs.shown.get() == Some(&law.reduction);
        let shows_more = law.is_of_one_sample() && part.batch.samples > 1;
        let is_known = law.divisor(&part.outline()).is_ok();
        if shown || (is_known && !shows_more) {
            return Ok(());
        }
        if is_known {
            self.expect_halves(&part.batch, law.reduction)?; // where it has halves
        } else {
            self.proven(&part.batch, &part.batch, law.reduction)?;
        }
        part.programs.shown.get_or_init(|| law.reduction);
        Ok(())
    }

    /// Finds out how the batches of a data set are reduced, by some of them, and weighs all of them: divisors and weights.
    #[inline(never)]
    pub(super) fn weighed(
        &self,
        some: &[Counted<B>],
        all: &[Outline<B>],
        reduction: Reduction,
    ) -> Result<(Self, Vec<(f64, f64)>), Error> {
        let stating = match all.first().and_then(|first| first.stated.reduction()) {
            Some(_) => self.stating(reduction)?,
            None => {
                let law = self.proven_by_some(some, reduction)?;
                self.stating(reduction)?.under(law)
            }
        };
        let Some(law) = &stating.settings.law else {
            return Err(ObjectiveError::NoReduction.into());
        };
        let divisors: Result<Vec<f64>, _> = all.iter().map(|batch| law.divisor(batch)).collect();
        let divisors = divisors?;
        if reduction == Reduction::Sum {
            return Ok((stating, divisors.into_iter().map(|divisor| (divisor, 1.0)).collect()));
        }
        let total: f64 = divisors.iter().sum();
        if total == 0.0 && self.is_shared() {
            // The batches of other ranks may count.
            return Ok((stating, vec![(0.0, 1.0); divisors.len()]));
        }
        if total == 0.0 {
            return Err(ObjectiveError::NoWeight.into());
        }
        let weigh = |(batch, divisor): (&Outline<B>, f64)| match batch.stated {
            Stated::Nothing => (divisor, divisor / total),
            Stated::Sum | Stated::Mean { .. } => (divisor, total.recip()),
        };
        let weights = all.iter().zip(divisors).map(weigh).collect();
        Ok((stating, weights))
    }

    /// Whether the samples of batches are counted rather than known by their programs, so that every batch is to be checked.
    pub(super) fn counts_samples(&self) -> bool {
        self.settings.law.as_ref().is_some_and(Law::is_counted)
    }

    /// Checks by numbers that a batch is reduced as stated, if its halves can be evaluated.
    #[inline(never)]
    pub(super) fn expect_halves(
        &self,
        batch: &Counted<B>,
        reduction: Reduction,
    ) -> Result<(), Error> {
        match self.proven(batch, batch, reduction) {
            Err(error) if !matches!(error.downcast_ref(), Some(ObjectiveError::Halved { .. })) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// The law that one of several batches shows. A batch of one sample is put together with the next one.
    fn proven_by_some(&self, some: &[Counted<B>], reduction: Reduction) -> Result<Law, Error> {
        let mut reason = None;
        for (index, batch) in some.iter().enumerate() {
            let other = some.get(index + 1).unwrap_or(&some[0]);
            match self.proven(batch, other, reduction) {
                Ok(law) => return Ok(law),
                Err(error) => {
                    let halved =
                        matches!(error.downcast_ref(), Some(ObjectiveError::Halved { .. }));
                    if !halved {
                        return Err(error);
                    }
                    reason = reason.or(Some(error));
                }
            }
        }
        Err(reason.unwrap_or_else(|| ObjectiveError::NoBatches.into()))
    }
}
