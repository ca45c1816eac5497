//! What a captured closure returns: the loss, as a scalar or in parts, with the model's outputs.

use burn::tensor::Tensor;

use super::CaptureError;

/// A loss in parts, so that the loss over a data set is exactly that of all its batches as one.
///
/// ```text
/// mean_of    ℒ = Σₙ ℓₙ / N        sum_of    ℒ = Σₙ ℓₙ        weighted    ℒ = sum / weight
/// ```
///
/// A captured closure returns it in place of a scalar, alone or as `(outputs, loss)`. Over a data set sums are divided by
/// the sum of the divisors, whatever the sizes of the batches; a batch of weight 0 then contributes nothing.
///
/// A closure that reduces its loss itself does not need this if the loss is a plain mean or sum over samples. A mean over
/// the tokens that count, or with class weights, divides by something in the data: return it by [`weighted`](Self::weighted).
///
/// # Example
/// The mean over the labels other than 2, which marks padding: with equal logits every label costs ln 3.
///
/// ```
/// use burn::{module::Param, prelude::*, tensor::activation::log_softmax};
/// use burn_curvature::{Loss, Objective, Reduction};
///
/// #[derive(Module, Debug)]
/// struct Logits {
///     bias: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Logits { bias: Param::from_tensor(Tensor::zeros([3], &device)) };
/// let labels = |labels: [i64; 3]| Tensor::<1, Int>::from_ints(labels, &device);
/// let batches = [labels([0, 1, 1]), labels([0, 2, 2]), labels([2, 2, 2])];
///
/// let objective = Objective::capture(&model, batches[0].clone(), |model, labels| {
///     let z = model.bias.val().unsqueeze::<2>().expand([labels.dims()[0], 3]);
///     let counts = labels.clone().not_equal_scalar(2).float();
///     let losses = -log_softmax(z, 1).gather(1, labels.unsqueeze_dim(1)).squeeze_dim::<1>(1);
///     Loss::weighted((losses * counts.clone()).sum(), counts.sum())
/// })?;
/// let mean = objective.over(batches, Reduction::Mean)?; // over the four labels that count
/// assert!((mean.value()? - 3.0_f64.ln()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Loss {
    value: Tensor<1>,
    divisor: Divisor<Tensor<1>>,
}

/// What the value of a loss is divided by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Divisor<W> {
    /// Not stated: the value is the loss, reduced by the closure.
    Unstated,
    /// The value is a sum over samples, and the loss.
    One,
    /// The number of samples.
    Count(usize),
    /// A weight that depends on the batch.
    Weight(W),
}

impl<W> Divisor<W> {
    pub fn as_ref(&self) -> Divisor<&W> {
        match self {
            Divisor::Unstated => Divisor::Unstated,
            Divisor::One => Divisor::One,
            Divisor::Count(count) => Divisor::Count(*count),
            Divisor::Weight(weight) => Divisor::Weight(weight),
        }
    }

    /// The same with the weight mapped.
    pub fn map<V>(self, make: impl FnOnce(W) -> V) -> Divisor<V> {
        match self {
            Divisor::Unstated => Divisor::Unstated,
            Divisor::One => Divisor::One,
            Divisor::Count(count) => Divisor::Count(count),
            Divisor::Weight(weight) => Divisor::Weight(make(weight)),
        }
    }
}

impl Loss {
    /// The mean of the samples' losses `[n]`.
    #[must_use]
    pub fn mean_of(losses: Tensor<1>) -> Self {
        let [count] = losses.dims();
        Self { value: losses.sum(), divisor: Divisor::Count(count) }
    }

    /// The sum of the samples' losses `[n]`.
    #[must_use]
    pub fn sum_of(losses: Tensor<1>) -> Self {
        Self { value: losses.sum(), divisor: Divisor::One }
    }

    /// A sum of losses `[1]` divided by a weight `[1]`: the number of tokens that count, or the sum of class weights.
    ///
    /// Capturing refuses a weight that depends on the parameters.
    #[must_use]
    pub fn weighted(sum: Tensor<1>, weight: Tensor<1>) -> Self {
        Self { value: sum, divisor: Divisor::Weight(weight) }
    }

    /// The loss as a scalar `[1]`, as a training loop needs it for `backward()`.
    #[must_use]
    pub fn into_tensor(self) -> Tensor<1> {
        match self.divisor {
            Divisor::Unstated | Divisor::One => self.value,
            Divisor::Count(count) => self.value / count as f64,
            Divisor::Weight(weight) => self.value / weight,
        }
    }

    /// The value and what it is divided by, if both are scalars.
    pub(crate) fn into_parts(self) -> Result<(Tensor<1>, Divisor<Tensor<1>>), CaptureError> {
        let shape = self.value.shape();
        if shape.num_elements() != 1 {
            return Err(CaptureError::LossNotScalar { shape: shape.to_vec() });
        }
        if let Divisor::Weight(weight) = &self.divisor
            && weight.shape().num_elements() != 1
        {
            return Err(CaptureError::WeightNotScalar { shape: weight.shape().to_vec() });
        }
        Ok((self.value, self.divisor))
    }
}

/// A scalar that the closure reduced itself.
impl From<Tensor<1>> for Loss {
    fn from(value: Tensor<1>) -> Self {
        Self { value, divisor: Divisor::Unstated }
    }
}

/// What a captured closure returns: the loss alone, or `(outputs, loss)`. The loss is a scalar `Tensor<1>` or a [`Loss`].
///
/// The outputs z are recorded so that Gauss-Newton products know where the model ends and the loss begins; a Hessian
/// does not need them.
#[diagnostic::on_unimplemented(
    message = "a captured closure cannot return `{Self}`",
    note = "return the loss, a `Tensor<1>` or a `burn_curvature::Loss`, or the model's outputs and then the loss: \
            `(outputs, loss)`"
)]
pub trait Captured {
    /// The outputs, if there are any, and the loss.
    fn into_parts(self) -> (Option<burn::backend::DispatchTensor>, Loss);
}

impl Captured for Tensor<1> {
    fn into_parts(self) -> (Option<burn::backend::DispatchTensor>, Loss) {
        (None, self.into())
    }
}

impl Captured for Loss {
    fn into_parts(self) -> (Option<burn::backend::DispatchTensor>, Loss) {
        (None, self)
    }
}

impl<const D: usize, L: Into<Loss>> Captured for (Tensor<D>, L) {
    fn into_parts(self) -> (Option<burn::backend::DispatchTensor>, Loss) {
        (Some(self.0.into_dispatch()), self.1.into())
    }
}
