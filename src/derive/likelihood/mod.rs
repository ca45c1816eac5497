//! Distributions p(y|z) of targets y given a model's outputs z: one file per distribution, each with the curvature of
//! −log p in z, its square root, the root's columns, and draws. Depends on tensor backends; independent of models.

mod bernoulli;
mod categorical;
mod error;
mod gaussian;
mod pattern;
mod poisson;
#[cfg(test)]
mod tests;

pub use error::LikelihoodError;

use std::{
    hash::{Hash, Hasher},
    mem::discriminant,
};

use burn_backend::{Backend, Shape, TensorData, TensorMetadata, tensor::FloatTensor};
use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};
use rand_distr::{Distribution as _, OpenClosed01, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::{graph::ValueType, seeds::Seeds};

/// The distribution p(y|z) of targets y given a model's outputs z.
///
/// | likelihood | −log p(y\|z), up to a constant | Fisher matrix in z | the loss in Burn |
/// |---|---|---|---|
/// | `Categorical` | −log softmax(z)_y | diag(p) − p pᵀ | `CrossEntropyLoss` |
/// | `Bernoulli` | log(1 + eᶻ) − y z | σ(1 − σ) | `BinaryCrossEntropyLoss` with logits |
/// | `Gaussian` | (z − y)² / (2·variance) | 1 / variance | `MseLoss`, for variance ½ |
/// | `Poisson` | eᶻ − y z | eᶻ | `PoissonNllLoss` with `log_input` |
///
/// All but `Categorical` *sum* over the outputs of a sample, where Burn's mean losses average over them: for several
/// outputs, scale the loss by their number. Everything that uses a likelihood compares it with the loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Likelihood {
    /// Classes with probabilities softmax(z) along the last dimension; its negative logarithm is the cross-entropy.
    Categorical,
    /// Zero or one, the latter with probability σ(z), independently for every output; its negative logarithm is the
    /// binary cross-entropy of logits, *summed* over the outputs of a sample.
    Bernoulli,
    /// Values with mean z and a given variance, independently for every output; its negative logarithm is
    /// Σ(z − y)² / (2·variance) plus a constant.
    Gaussian {
        /// The variance, above zero.
        variance: f64,
    },
    /// Counts with rate exp(z), independently for every output: the outputs are *log-rates*. Its negative logarithm is
    /// Σ(exp(z) − y z) plus a constant.
    ///
    /// Drawn targets ([`Fisher::monte_carlo`](crate::Fisher::monte_carlo)) are counts up to a rate of 16, and above
    /// that normal values of the same mean and variance, so that the estimate is unbiased at every rate.
    Poisson,
}

/// The noise that one target is drawn with.
#[derive(Clone, Copy)]
enum Noise {
    /// A uniform value above zero and at most one, per row of the last dimension.
    UniformPerRow,
    /// A uniform value above zero and at most one, per output.
    Uniform,
    /// A standard normal value, per output.
    Normal,
}

/// A likelihood up to its scale: all that a program depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family(Likelihood);

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        discriminant(&self.0) == discriminant(&other.0)
    }
}

impl Eq for Family {}

impl Hash for Family {
    fn hash<H: Hasher>(&self, state: &mut H) {
        discriminant(&self.0).hash(state);
    }
}

/// Calls a function of the file of a family's distribution.
macro_rules! of {
    ($family:expr, $function:ident::<$B:ident>($($argument:expr),*)) => {
        match $family.0 {
            Likelihood::Categorical => categorical::$function::<$B>($($argument),*),
            Likelihood::Bernoulli => bernoulli::$function::<$B>($($argument),*),
            Likelihood::Gaussian { .. } => gaussian::$function::<$B>($($argument),*),
            Likelihood::Poisson => poisson::$function::<$B>($($argument),*),
        }
    };
}

impl Family {
    /// M·u with M the Fisher matrix in output space.
    pub fn curvature<B: Backend>(self, z: FloatTensor<B>, u: FloatTensor<B>) -> FloatTensor<B> {
        of!(self, curvature::<B>(z, u))
    }

    /// S·r with S Sᵀ = M.
    pub fn root<B: Backend>(self, z: FloatTensor<B>, r: FloatTensor<B>) -> FloatTensor<B> {
        of!(self, root::<B>(z, r))
    }

    /// The columns of a square root of M, stacked in front, for all samples at once. Outputs of one dimension are one
    /// number for each sample, and have a single column.
    pub fn columns<B: Backend>(self, z: &FloatTensor<B>) -> FloatTensor<B> {
        let shape = z.shape();
        let &[samples] = &shape[..] else {
            return of!(self, columns::<B>(z));
        };
        let z = &B::float_reshape(z.clone(), Shape::from(vec![samples, 1]));
        B::float_reshape(of!(self, columns::<B>(z)), Shape::from(vec![1, samples]))
    }

    /// How many columns there are for outputs of a shape.
    pub fn number_of_columns(self, outputs: &[usize]) -> usize {
        let width = if outputs.len() > 1 { outputs.last().copied().unwrap_or(1) } else { 1 };
        match self.0 {
            Likelihood::Categorical => width.saturating_sub(1).max(1),
            Likelihood::Bernoulli | Likelihood::Gaussian { .. } | Likelihood::Poisson => width,
        }
    }

    /// The sum of M over all rows of the last dimension, `[outputs, outputs]`: that of its columns with themselves, at the
    /// cost of one of them.
    pub fn total<B: Backend>(self, z: FloatTensor<B>) -> FloatTensor<B> {
        let shape = z.shape();
        let width = shape.last().copied().unwrap_or(1);
        let rows = shape.num_elements() / width.max(1);
        let z = B::float_reshape(z, Shape::from(vec![rows, width]));
        of!(self, total::<B>(z))
    }

    /// Derivatives of −log p(ŷ|z) by z for `draws` targets ŷ, stacked in front and divided by √draws.
    pub fn directions<B: Backend>(
        self,
        draws: usize,
        z: FloatTensor<B>,
        noise: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let one: Vec<usize> = [1].into_iter().chain(z.shape().iter().copied()).collect();
        let mut all = one.clone();
        all[0] = draws;
        let z = B::float_reshape(z, Shape::from(one));
        let directions = of!(self, draw::<B>(z, noise, Shape::from(all)));
        if draws == 1 {
            return directions;
        }
        let scale = (draws.max(1) as f64).sqrt().recip();
        B::float_mul_scalar(directions, scale.into())
    }

    /// Type of the noise that `draws` targets are drawn by for outputs of a type, draws in front.
    pub fn noise_type(self, draws: usize, outputs: &ValueType) -> ValueType {
        let mut shape: Vec<usize> =
            [draws].into_iter().chain(outputs.shape.iter().copied()).collect();
        if let (Noise::UniformPerRow, Some(classes)) = (self.noise(), shape.last_mut()) {
            *classes = 1;
        }
        ValueType { shape: shape.into(), dtype: outputs.dtype }
    }

    fn noise(self) -> Noise {
        match self.0 {
            Likelihood::Categorical => categorical::NOISE,
            Likelihood::Bernoulli => bernoulli::NOISE,
            Likelihood::Gaussian { .. } => gaussian::NOISE,
            Likelihood::Poisson => poisson::NOISE,
        }
    }
}

impl Likelihood {
    pub(crate) fn family(self) -> Family {
        Family(self)
    }

    /// The factor of the family's curvature.
    pub(crate) fn scale(self) -> f64 {
        match self {
            Likelihood::Categorical | Likelihood::Bernoulli | Likelihood::Poisson => 1.0,
            Likelihood::Gaussian { variance } => variance.recip(),
        }
    }

    /// Checks the parameters, and that outputs of a shape are such as the distribution needs.
    pub(crate) fn check(self, outputs: &[usize]) -> Result<(), LikelihoodError> {
        let unfit = |reason, found| Err(LikelihoodError::Unfit { reason, found });
        if let Likelihood::Gaussian { variance } = self
            && !(variance > 0.0 && variance.is_finite() && variance.recip().is_finite())
        {
            return unfit(
                "its variance must be above zero, and its reciprocal finite",
                format!("{variance:e}"),
            );
        }
        match (self, outputs.len()) {
            (_, 0) => unfit("the outputs need a dimension of samples", format!("{outputs:?}")),
            (Likelihood::Categorical, 1) => unfit(
                "the outputs need a dimension of samples and a last one of classes",
                format!("{outputs:?}"),
            ),
            _ => Ok(()),
        }
    }

    /// Checks that the noise of `draws` targets for outputs of a shape fits into memory.
    pub(crate) fn expect_room(
        self,
        outputs: &ValueType,
        draws: usize,
    ) -> Result<(), LikelihoodError> {
        self.room(outputs, draws).map(drop)
    }

    /// Room for the noise, and how many numbers it consists of.
    fn room(self, outputs: &ValueType, draws: usize) -> Result<(Vec<f64>, usize), LikelihoodError> {
        let shape = self.family().noise_type(draws, outputs).shape;
        let total = shape.iter().try_fold(1_usize, |total, &size| total.checked_mul(size));
        let mut noise: Vec<f64> = Vec::new();
        let fits = total.is_some_and(|total| noise.try_reserve_exact(total).is_ok());
        let total = total.filter(|_| fits).ok_or(LikelihoodError::TooManyDraws { draws })?;
        Ok((noise, total))
    }

    /// Noise for sampling `draws` targets for outputs of a type. Deterministic in (seed, batch index).
    pub(crate) fn noise(
        self,
        outputs: &ValueType,
        draws: usize,
        seed: u64,
        batch: usize,
    ) -> Result<TensorData, LikelihoodError> {
        let own = Seeds::at(seed, batch as u64);
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(own);
        let shape = self.family().noise_type(draws, outputs).shape;
        let (mut noise, total) = self.room(outputs, draws)?;
        let scale = self.scale().sqrt();
        noise.extend((0..total).map(|_| match self.family().noise() {
            Noise::Normal => {
                let normal: f64 = StandardNormal.sample(&mut generator);
                normal * scale
            }
            Noise::Uniform | Noise::UniformPerRow => OpenClosed01.sample(&mut generator),
        }));
        Ok(TensorData::new(noise, shape))
    }
}
