//! Predictive distributions given by a model's outputs, and targets drawn from them.

use burn_backend::{AutodiffBackend, TensorData};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::{
    derive::Product,
    error::Error,
    objective::{Objective, Reduction},
    operator::OperatorError,
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
    pub(super) fn product(self) -> Product {
        match self {
            Likelihood::Categorical => Product::Categorical,
            Likelihood::Bernoulli => Product::Bernoulli,
            Likelihood::Gaussian { .. } => Product::Gaussian,
        }
    }

    /// What the product is multiplied by.
    pub(in crate::curvature) fn precision(self) -> f64 {
        match self {
            Likelihood::Categorical | Likelihood::Bernoulli => 1.0,
            Likelihood::Gaussian { variance } => variance.recip(),
        }
    }

    /// Checks the parameters, and that the objective's outputs are such as the distribution needs.
    pub(in crate::curvature) fn check<B: AutodiffBackend>(
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
            (_, 0) => wrong(
                "the outputs need a dimension of samples",
                format!("{shape:?}"),
            ),
            (Likelihood::Categorical, 1) => wrong(
                "the outputs need a dimension of samples and a last one of classes",
                format!("{shape:?}"),
            ),
            _ => Ok(()),
        }
    }

    /// Derivatives of −log p(ŷ|z) by z for targets drawn from p, stacked in front and divided by √draws.
    pub(in crate::curvature) fn draw(
        self,
        outputs: &TensorData,
        draws: usize,
        seed: u64,
        batch: usize,
    ) -> Result<TensorData, Error> {
        let mut seeds = Xoshiro256PlusPlus::seed_from_u64(seed);
        let own = (0..=batch).fold(seed, |_, _| seeds.random());
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(own);
        let z: Vec<f64> = outputs.iter::<f64>().collect();
        let classes = outputs.shape().iter().next_back().copied().unwrap_or(1);
        let scale = (draws as f64).sqrt().recip();
        let mut directions = Vec::with_capacity(draws * z.len());
        for _ in 0..draws {
            match self {
                Likelihood::Categorical => {
                    for row in z.chunks(classes) {
                        directions.extend(categorical(row, generator.random()));
                    }
                }
                Likelihood::Bernoulli => directions.extend(z.iter().map(|z| {
                    let p = (1.0 + (-z).exp()).recip();
                    p - f64::from(generator.random::<f64>() < p)
                })),
                Likelihood::Gaussian { variance } => {
                    let deviation = variance.sqrt().recip();
                    directions.extend(z.iter().map(|_| {
                        let noise: f64 = StandardNormal.sample(&mut generator);
                        noise * deviation
                    }));
                }
            }
        }
        directions.iter_mut().for_each(|number| *number *= scale);
        let shape: Vec<usize> = std::iter::once(draws)
            .chain(outputs.shape().iter().copied())
            .collect();
        Ok(TensorData::new(directions, shape))
    }
}

/// p − e_k for a class k drawn by a number between 0 and 1.
fn categorical(logits: &[f64], uniform: f64) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|z| (z - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut left = uniform * total;
    let drawn = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    let drawn = drawn.unwrap_or(weights.len().saturating_sub(1));
    let minus = |(class, weight): (usize, f64)| weight / total - f64::from(class == drawn);
    weights.into_iter().enumerate().map(minus).collect()
}
