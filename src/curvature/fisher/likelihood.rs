//! Predictive distributions given by a model's outputs, and the noise that targets are drawn from them by.

use burn_backend::{AutodiffBackend, TensorData};
use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};
use rand_distr::{Distribution as _, OpenClosed01, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::{
    derive::{Distribution, Draws, Product},
    error::Error,
    graph::ValueType,
    objective::{Objective, Reduction},
    operator::OperatorError,
    seeds::Seeds,
};

/// The distribution p(y|z) of targets y given a model's outputs z.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Likelihood {
    /// Classes with probabilities softmax(z) along the last dimension; its negative logarithm is the cross-entropy.
    Categorical,
    /// Zero or one with probability σ(z), for every output alone; its negative logarithm is the binary cross-entropy of
    /// logits, *summed* over the outputs of a sample.
    Bernoulli,
    /// Numbers with mean z and a given variance, for every output alone; its negative logarithm is
    /// Σ(z − y)² / (2·variance) and a constant.
    Gaussian {
        /// The variance, above zero.
        variance: f64,
    },
}

impl Likelihood {
    /// The product JᵀMJ with M the Fisher matrix in output space, up to [`precision`](Self::precision).
    pub(crate) fn product(self) -> Product {
        match self {
            Likelihood::Categorical => Product::Categorical,
            Likelihood::Bernoulli => Product::Bernoulli,
            Likelihood::Gaussian { .. } => Product::Gaussian,
        }
    }

    /// What the product is multiplied by.
    pub(crate) fn precision(self) -> f64 {
        match self {
            Likelihood::Categorical | Likelihood::Bernoulli => 1.0,
            Likelihood::Gaussian { variance } => variance.recip(),
        }
    }

    /// Checks the parameters, and that the objective's outputs are such as the distribution needs.
    pub(crate) fn check<B: AutodiffBackend>(
        self,
        objective: &Objective<B>,
        reduction: Reduction,
    ) -> Result<(), Error> {
        objective.expect_reduction_of_data(reduction)?;
        let wrong = |reason: &'static str, found: String| {
            Err(Error::from(OperatorError::Likelihood { reason, found }))
        };
        if let Likelihood::Gaussian { variance } = self
            && !(variance > 0.0 && variance.is_finite() && variance.recip().is_finite())
        {
            return wrong(
                "its variance must be above zero, and its reciprocal finite",
                format!("{variance:e}"),
            );
        }
        let shape = objective.shape_of_outputs()?;
        match (self, shape.len()) {
            (_, 0) => wrong("the outputs need a dimension of samples", format!("{shape:?}")),
            (Likelihood::Categorical, 1) => wrong(
                "the outputs need a dimension of samples and a last one of classes",
                format!("{shape:?}"),
            ),
            _ => Ok(()),
        }
    }

    /// Draws of targets, up to the variance.
    pub(crate) fn draws(self, count: usize) -> Draws {
        let from = match self {
            Likelihood::Categorical => Distribution::Categorical,
            Likelihood::Bernoulli => Distribution::Bernoulli,
            Likelihood::Gaussian { .. } => Distribution::Gaussian,
        };
        Draws { from, count }
    }

    /// What so many targets are drawn by for outputs of a type; the same for the same seed and number of the batch.
    pub(crate) fn noise(
        self,
        outputs: &ValueType,
        draws: usize,
        seed: u64,
        batch: usize,
    ) -> Result<TensorData, Error> {
        let own = Seeds::at(seed, batch as u64);
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(own);
        let shape = self.draws(draws).noise_type(outputs).shape;
        let total = shape.iter().try_fold(1_usize, |total, &size| total.checked_mul(size));
        let mut noise: Vec<f64> = Vec::new();
        let fits = total.is_some_and(|total| noise.try_reserve_exact(total).is_ok());
        let Some(total) = total.filter(|_| fits) else {
            return Err(OperatorError::TooManyDraws { draws }.into());
        };
        let deviation = match self {
            Likelihood::Gaussian { variance } => Some(variance.sqrt().recip()),
            Likelihood::Categorical | Likelihood::Bernoulli => None,
        };
        noise.extend((0..total).map(|_| match deviation {
            Some(deviation) => {
                let normal: f64 = StandardNormal.sample(&mut generator);
                normal * deviation
            }
            None => OpenClosed01.sample(&mut generator),
        }));
        Ok(TensorData::new(noise, shape))
    }
}
