//! Steps of conjugate gradients, as many as asked for whatever they find.

use burn_curvature::{
    ConjugateGradientConfig,
    solver::{ConjugateGradient, OnNegativeCurvature},
};

/// How many.
pub const STEPS: usize = 20;

/// Without anything that costs products besides the steps, but for the one that verifies the result.
pub fn of_cg() -> ConjugateGradient {
    let config = ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-30)
        .with_max_iterations(Some(STEPS))
        .with_residual_replacement(None)
        .with_stagnation_window(None)
        .with_on_negative_curvature(OnNegativeCurvature::Continue);
    config.init().expect("a valid configuration")
}
