//! What factors are measured.

use burn_curvature::{
    KfacConfig, Likelihood,
    kfac::{KfacFisher, UncoveredPolicy},
};

pub const LOSS: Likelihood = Likelihood::Categorical;
pub const DAMPING: f64 = 1e-2;
/// Norms and the positions of the transformer, which belong to no layer.
const UNCOVERED: UncoveredPolicy = UncoveredPolicy::Diagonal { probes: 1, seed: 1 };

/// By targets drawn for each sample.
pub fn drawn(draws: usize) -> KfacConfig {
    of(KfacFisher::MonteCarlo { draws, seed: 1 })
}

/// Without randomness.
pub fn exact() -> KfacConfig {
    of(KfacFisher::Exact)
}

fn of(fisher: KfacFisher) -> KfacConfig {
    KfacConfig::new().with_fisher(fisher).with_uncovered(UNCOVERED)
}
