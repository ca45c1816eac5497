//! Random vectors, drawn on the host so that a seed gives the same elements on every backend.

use burn_backend::AutodiffBackend;
use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};
use rand_distr::{Distribution, StandardNormal};

use super::{ParamSpace, ParamVector};

/// Random vectors. A seed gives the same elements on every backend (in f32, the f64 elements rounded).
impl<B: AutodiffBackend> ParamSpace<B> {
    /// A vector of independent signs: +1 or −1 with equal probability.
    #[inline(never)]
    pub fn rademacher(&self, seed: u64) -> ParamVector<B> {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        // One sign per bit of the generator.
        let words = std::iter::repeat_with(|| generator.next_u64());
        let signs = words
            .flat_map(|word| (0..64).map(move |bit| if word >> bit & 1 == 0 { 1.0 } else { -1.0 }));
        self.drawn(signs)
    }

    /// A vector of independent elements of the standard normal distribution.
    #[inline(never)]
    pub fn normal(&self, seed: u64) -> ParamVector<B> {
        let generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        self.drawn(StandardNormal.sample_iter(generator))
    }

    fn drawn(&self, elements: impl Iterator<Item = f64>) -> ParamVector<B> {
        let elements: Vec<f64> = elements.take(self.len()).collect();
        self.filled(&elements)
    }
}
