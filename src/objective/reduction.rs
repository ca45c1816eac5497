//! What the loss does with the samples of a batch: stated once, checked on a batch and its two halves.

use std::ops::Range;

use burn_backend::{AutodiffBackend, Backend, Slice};
use serde::{Deserialize, Serialize};

use super::{
    Objective, ObjectiveError,
    batches::{Counted, Part, Parts},
};
use crate::{capture::CaptureError, error::Error, tensor::Operand};

/// How the loss of a batch is made of those of its samples, and that of a data set of its batches.
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
    /// Needed for a single batch only: [`over`](Self::over) and [`over_stream`](Self::over_stream) state it too. The
    /// statement is checked: the loss of the batch must be the sum or mean of those of its halves. It is taken on
    /// trust where this cannot be checked: for one sample, for a batch with [samples](crate::Batch::samples) of its own,
    /// and where the closure does not accept half a batch.
    ///
    /// # Cost
    /// Three forward passes, two of them on half a batch, which is recorded for it.
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
        if self.settings.reduction.is_none() {
            self.with_part(0, |part| match self.expect_reduction(&part.batch, reduction) {
                Err(error)
                    if matches!(error.downcast_ref(), Some(ObjectiveError::Halved { .. })) =>
                {
                    Ok(())
                }
                checked => checked,
            })?;
        }
        self.stating(reduction)
    }

    /// The reduction that was stated, or `None`.
    pub fn reduction(&self) -> Option<Reduction> {
        self.settings.reduction
    }

    /// Checks the reduction that was stated on the first batch.
    pub(crate) fn check_reduction(&self) -> Result<(), Error> {
        let reduction = self.stated_reduction()?;
        self.with_part(0, |part| self.expect_reduction(&part.batch, reduction))
    }

    /// The reduction that was stated.
    pub(crate) fn stated_reduction(&self) -> Result<Reduction, ObjectiveError> {
        self.settings.reduction.ok_or(ObjectiveError::NoReduction)
    }

    /// The same objective with a reduction that was checked.
    pub(crate) fn stating(&self, found: Reduction) -> Result<Self, Error> {
        match self.settings.reduction {
            Some(expected) if expected != found => {
                Err(ObjectiveError::OtherReduction { expected, found }.into())
            }
            _ => {
                let mut stating = self.clone();
                stating.settings.reduction = Some(found);
                Ok(stating)
            }
        }
    }

    /// Checks that the loss of a batch is the sum or mean of those of its two halves, if it can be halved.
    pub(super) fn expect_reduction(
        &self,
        batch: &Counted<B>,
        reduction: Reduction,
    ) -> Result<(), Error> {
        if !batch.can_be_halved() {
            return Ok(());
        }
        let n = batch.samples;
        let value = |batch: Counted<B>| {
            self.value_of(&Part::new(&self.recorder, &self.values, batch, 1.0)?)
        };
        let half = |range: Range<usize>| {
            let operands = batch.operands.iter().cloned();
            Counted::new(operands.map(|operand| rows(operand, n, range.clone())).collect(), None)
        };
        let halved = |error: Error| match error.downcast_ref() {
            Some(CaptureError::Panicked { message }) => {
                ObjectiveError::Halved { samples: n, message: message.clone() }.into()
            }
            _ => error,
        };
        let whole = value(batch.clone())?;
        let head = value(half(0..n / 2)).map_err(halved)?;
        let tail = value(half(n / 2..n)).map_err(halved)?;
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
fn rows<B: Backend>(operand: Operand<B>, samples: usize, range: Range<usize>) -> Operand<B> {
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
