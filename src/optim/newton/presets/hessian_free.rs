//! Hessian-free optimization.

use burn::config::Config;

use super::preset;
use crate::optim::newton::{
    Armijo, Curvature, DampingRule, Direction, Forcing, NewtonOptimizerConfig, Preconditioner,
    Rule, TruncatedCg,
};

/// Hessian-free optimization of Martens, with the rules of his paper.
///
/// ```text
/// repeat   (G + (λ + η)I) δ = −∇h by preconditioned conjugate gradients, from 0.95 times the last solution,
///              until (φᵢ − φᵢ₋ₖ)/φᵢ < kε,  k = max(10, 0.1 i),  φ the quadratic model
///          δ: from the last iterate back through those numbered ⌈1.3ʲ⌉, as long as h(θ + δ) falls
///          ρ = (h(θ + δ) − h(θ)) / (∇hᵀδ + ½ δᵀ(G + ηI)δ)
///          λ ← 3/2 λ if ρ < ¼,   2/3 λ if ρ > ¾
///          α = 1, 0.8, 0.8², … until h(θ + αδ) ≤ h + 0.01 α∇hᵀδ
///          θ ← θ + αδ
/// ```
///
/// G is the Gauss-Newton matrix, so the closure must return outputs and loss. The preconditioner is
/// [diag(c·Σₙ gₙ²) + (λ + η)I]^−¾ with the gradients gₙ of the samples, so the objective must state its reduction
/// ([`Objective::reduced_by`](crate::Objective::reduced_by)). An unbiased estimate of the diagonal comes from `probes` sums
/// with random signs.
///
/// # Cost
/// A gradient; a product with G, 0.4 to 0.6 gradients, for each iteration of conjugate gradients; `probes` backward passes; and a
/// forward pass for each iterate and rate tried.
///
/// # Example
/// Least squares, where G is the Hessian: the step lands close to the solution, and λ falls.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Objective, Reduction, optim::HessianFreeConfig};
///
/// #[derive(Module, Debug)]
/// struct Line {
///     w: Param<Tensor<2>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Line { w: Param::from_tensor(Tensor::zeros([1, 1], &device)) };
/// let x = Tensor::<2>::from_floats([[1.0], [2.0]], &device);
/// let objective = Objective::capture(&model, x.clone(), |model, x| {
///     let z = x.clone().matmul(model.w.val());
///     (z.clone(), (z - x * 3.0).powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let objective = objective.reduced_by(Reduction::Sum)?;
/// let mut optimizer = HessianFreeConfig::new().with_damping(1e-3).init(&objective)?;
/// let (model, step) = optimizer.step(&model, x)?;
/// assert!((model.w.val().into_scalar::<f32>() - 3.0).abs() < 1e-2);
/// assert!((step.reduction_ratio.unwrap_or(0.0) - 1.0).abs() < 1e-3);
/// assert!((optimizer.damping() - 2e-3 / 3.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # References
/// Martens 2010, *Deep learning via Hessian-free optimization*, sections 4.1 to 4.7.
#[derive(Config, Debug, PartialEq)]
pub struct HessianFreeConfig {
    /// λ at the start.
    #[config(default = 1.0)]
    pub damping: f64,
    /// η in h = ℒ + η/2 ‖θ‖².
    #[config(default = 0.0)]
    pub weight_decay: f64,
    /// Largest number of iterations of conjugate gradients.
    #[config(default = 250)]
    pub max_iterations: usize,
    /// ε of the stopping rule.
    #[config(default = 5e-4)]
    pub relative_progress: f64,
    /// The share of the last solution that conjugate gradients start from.
    #[config(default = 0.95)]
    pub warm_start: f64,
    /// Sums with random signs for the preconditioner; 0 leaves it out.
    #[config(default = 8)]
    pub probes: usize,
    /// Seed of these signs.
    #[config(default = 0)]
    pub seed: u64,
}

/// Iterates are numbered by its powers.
const SPACING: f64 = 1.3;
/// ξ of the preconditioner.
const EXPONENT: f64 = 0.75;
/// λ changes by this factor.
const RAISE: f64 = 1.5;
/// Residuals as small as this end a solve before the stopping rule can; there is nothing more to gain.
const TOLERANCE: f64 = 1e-10;

impl HessianFreeConfig {
    /// The same as a direction and a rule.
    pub fn optimizer(&self) -> NewtonOptimizerConfig {
        let (exponent, probes, seed) = (EXPONENT, self.probes, self.seed);
        let squares = Preconditioner::SquaredGradients { exponent, probes, seed };
        let direction = TruncatedCg::new()
            .with_curvature(Curvature::GaussNewton)
            .with_forcing(Forcing::Fixed(TOLERANCE))
            .with_max_iterations(Some(self.max_iterations))
            .with_relative_progress(Some(self.relative_progress))
            .with_preconditioner((probes > 0).then_some(squares))
            .with_warm_start(Some(self.warm_start))
            .with_backtracking(Some(SPACING));
        let search = Armijo::new().with_decrease(1e-2).with_shrink(0.8).with_trials(60);
        let adaptation = DampingRule::Ratio { raise: RAISE };
        let rule = Rule::LevenbergMarquardt { adaptation, search: Some(search) };
        NewtonOptimizerConfig::new(Direction::ConjugateGradient(direction), rule)
            .with_damping(self.damping)
            .with_weight_decay(self.weight_decay)
    }
}

preset!(HessianFreeConfig);
