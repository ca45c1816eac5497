//! Truncated hypergradients: those of the last K steps of an unrolled inner training, without storing the steps.

use crate::{
    config::{ConfigError, Field},
    solver::{Neumann, NeumannConfig, NeumannScale},
};

/// The solver of a truncated hypergradient: K terms of the Neumann series with the step α of the inner training.
///
/// ```text
/// (A + λI)⁻¹ ≈ α Σ_{j < K} (I − α(A + λI))ʲ
/// ```
///
/// At the minimizer the hypergradient with it *is* the one that reverse mode through the last K steps
/// θ ← θ − α ∂ℒ/∂θ finds, with the memory of a single step. K = 1 is the one-step hypergradient, α I in place of the
/// inverse. Where A is singular or indefinite, or α too large for it, it is still what these steps give. The report's verdict is [`Unsolved`](super::Verdict::Unsolved), since the solve stops on purpose; leave the
/// error bound out.
///
/// # Cost
/// K products with A.
///
/// # Errors
/// [`ConfigError`] for K = 0, or a step that is not positive and finite. The solver fails with
/// [`SolverError::Overflow`](crate::errors::SolverError::Overflow) where the steps diverge beyond the range of the numbers.
///
/// # References
/// Luketina et al. 2016, *Scalable gradient-based tuning of continuous regularization hyperparameters* (one step, with I in
/// place of αI); Shaban et al. 2019, *Truncated back-propagation for bilevel optimization* (K steps); Lorraine, Vicol &
/// Duvenaud 2020, theorem 2 (the identity, at a minimum).
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearSolver, ParamSpace, implicit::truncated, operator::Diagonal};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = Diagonal::new(space.vector(&[1.0, 2.0])?)?;
/// let x = truncated(2, 0.25)?.solve(&a, &space.ones())?.x; // ¼(1 + (1 − a/4))
/// assert_eq!(x.to_vec()?, [0.4375, 0.375]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub fn truncated(steps: usize, rate: f64) -> Result<Neumann, ConfigError> {
    let field = |name| Field { config: "truncated", name };
    field("steps").at_least_one(steps)?;
    field("rate").positive(rate)?;
    NeumannConfig::new()
        .with_scale(NeumannScale::Fixed(rate))
        .with_relative_tolerance(f64::MIN_POSITIVE)
        .with_max_iterations(steps)
        .with_all_terms(true)
        .init()
}
