//! Random vectors. Drawn on the host, so that a seed gives the same numbers on every backend.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, tensor::Device};
use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};
use rand_distr::{Distribution, StandardNormal};

use super::{ParamLayout, ParamVector, Precision, VectorError};

/// Random vectors. A seed gives the same numbers on every backend (in f32 the f64 numbers, rounded).
impl<B: AutodiffBackend> ParamVector<B> {
    /// Numbers that are +1 or −1 with equal probability.
    ///
    /// # Errors
    /// [`VectorError::PrecisionUnsupported`].
    pub fn rademacher(
        layout: &Arc<ParamLayout>,
        seed: u64,
        device: &Device<B>,
        precision: Precision,
    ) -> Result<Self, VectorError> {
        Self::from_vec(layout, &signs(layout.len(), seed), device, precision)
    }

    /// Numbers of the standard normal distribution.
    ///
    /// # Errors
    /// [`VectorError::PrecisionUnsupported`].
    pub fn normal(
        layout: &Arc<ParamLayout>,
        seed: u64,
        device: &Device<B>,
        precision: Precision,
    ) -> Result<Self, VectorError> {
        let generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let draws = StandardNormal.sample_iter(generator).take(layout.len());
        Self::from_vec(layout, &draws.collect::<Vec<f64>>(), device, precision)
    }

    /// Numbers that are +1 or −1 with equal probability, laid out like this vector.
    ///
    /// # Errors
    /// [`VectorError::PrecisionUnsupported`], which cannot occur where this vector exists.
    pub fn rademacher_like(&self, seed: u64) -> Result<Self, VectorError> {
        Self::rademacher(self.layout(), seed, self.device(), self.precision())
    }

    /// Numbers of the standard normal distribution, laid out like this vector.
    ///
    /// # Errors
    /// [`VectorError::PrecisionUnsupported`], which cannot occur where this vector exists.
    pub fn normal_like(&self, seed: u64) -> Result<Self, VectorError> {
        Self::normal(self.layout(), seed, self.device(), self.precision())
    }
}

/// One sign per bit of the generator.
fn signs(len: usize, seed: u64) -> Vec<f64> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let words = std::iter::repeat_with(|| generator.next_u64());
    words
        .flat_map(|word| (0..64).map(move |bit| if word >> bit & 1 == 0 { 1.0 } else { -1.0 }))
        .take(len)
        .collect()
}
