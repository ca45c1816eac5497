//! The stochastic Newton method LiSSA.

use burn::config::Config;

use super::preset;
use crate::{
    optim::newton::{Direction, NewtonOptimizerConfig, Rule},
    solver::LissaConfig,
};

/// LiSSA as an optimizer: full gradients, and Newton directions by products with random batches.
///
/// ```text
/// repeat   x₀ = −∇h,   xⱼ = −∇h + (I − (∇²ℒᵢ + (λ + η)I)/c) xⱼ₋₁,   i a random batch,   j = 1 … depth
///          θ ← θ + rate · x/c, averaged over repeats
/// ```
///
/// The objective of a step must be a data set ([`Objective::over`](crate::Objective::over)) with small batches, the terms i.
/// The Hessian of every batch must have its eigenvalues between 0 and the scale c, as for convex losses. The method converges
/// from where the quadratic model is good, so take some steps of gradient descent first.
///
/// # When to use it, and when not
/// It pays if n, the number of samples, is much larger than the condition number κ: then a direction costs less than a pass
/// over the data. On 1797 digits with κ ≈ 250 it comes within 10⁻⁸ of the minimum in 12 passes, and variance-reduced gradients
/// (SVRG) take 14 to 16. With κ ≈ n, SVRG takes 38 passes and LiSSA more than 40. Where products with the whole data set are
/// affordable, [`NewtonCgConfig`](super::NewtonCgConfig) is the better choice: conjugate gradients take √κ products where this
/// series takes κ steps.
///
/// # Cost
/// A gradient over the data set, depth · repeats products with single batches (without a scale up to 160 more at every step, to
/// estimate it), and one product and one forward pass over the data set for the reports.
///
/// # Errors
/// A step fails with [`OptimizerError::SeriesDiverged`](crate::errors::OptimizerError::SeriesDiverged) where the series grows
/// without bound, as with a scale below the eigenvalues of a batch.
///
/// # Example
/// Two batches, ℒ = ½ mean (w − yₙ)²: every term has the Hessian 1, and one step lands on the mean of y.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Objective, Reduction, optim::LissaNewtonConfig, solver::LissaConfig};
///
/// #[derive(Module, Debug)]
/// struct Mean {
///     w: Param<Tensor<2>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Mean { w: Param::from_tensor(Tensor::zeros([1, 1], &device)) };
/// let batches = [[[1.0], [2.0]], [[3.0], [6.0]]].map(|y| Tensor::<2>::from_floats(y, &device));
/// let objective = Objective::capture(&model, batches[0].clone(), |model, y| {
///     (model.w.val().expand(y.dims()) - y).powf_scalar(2.0).mean() * 0.5
/// })?;
/// let risk = objective.over(batches, Reduction::Mean)?;
/// let series = LissaConfig::new().with_scale(Some(1.5)).with_depth(20).with_smallest(Some(1.0));
/// let mut optimizer = LissaNewtonConfig::new().with_series(series).init(&risk)?;
/// let (model, step) = optimizer.step_on(&model, &risk)?;
/// assert!((model.w.val().into_scalar::<f32>() - 3.0).abs() < 1e-5);
/// assert!(step.is_taken());
/// # Ok(())
/// # }
/// ```
///
/// # References
/// Agarwal, Bullins & Hazan 2017, *Second-order stochastic optimization for machine learning in linear time*.
#[derive(Config, Debug, PartialEq)]
pub struct LissaNewtonConfig {
    /// Depth, repeats, scale and seed of the series.
    #[config(default = "LissaConfig::new().with_repeats(1)")]
    pub series: LissaConfig,
    /// The learning rate, for [`NewtonOptimizer::set_learning_rate`](crate::optim::NewtonOptimizer::set_learning_rate) too.
    #[config(default = 1.0)]
    pub rate: f64,
    /// λ
    #[config(default = 0.0)]
    pub damping: f64,
    /// η in h = ℒ + η/2 ‖θ‖².
    #[config(default = 0.0)]
    pub weight_decay: f64,
}

impl LissaNewtonConfig {
    /// The same as a direction and a rule.
    pub fn optimizer(&self) -> NewtonOptimizerConfig {
        let direction = Direction::Lissa(self.series.clone());
        NewtonOptimizerConfig::new(direction, Rule::Fixed { rate: self.rate })
            .with_damping(self.damping)
            .with_weight_decay(self.weight_decay)
    }
}

preset!(LissaNewtonConfig);
