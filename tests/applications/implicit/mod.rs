//! Implicit differentiation against dense formulas, differences of minimizers, unrolled trainings and closed forms, in f64.

mod attack;
mod backends;
mod bounds;
mod exact;
mod imaml;
mod refusals;
mod truncated;
mod verdicts;
mod world;

use burn_curvature::{ConjugateGradientConfig, DirectConfig, LinearSolver, MinresConfig};

/// Three solvers, to rounding.
fn solvers() -> Vec<(&'static str, Box<dyn LinearSolver>)> {
    let conjugate = ConjugateGradientConfig::new().with_relative_tolerance(1e-13);
    let minres = MinresConfig::new().with_relative_tolerance(1e-13);
    vec![
        ("conjugate gradients", Box::new(conjugate.init().unwrap())),
        ("MINRES", Box::new(minres.init().unwrap())),
        ("direct", Box::new(DirectConfig::new().init().unwrap())),
    ]
}
