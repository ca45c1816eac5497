//! Levenberg–Marquardt for nonlinear least squares.

use burn::config::Config;

use super::preset;
use crate::optim::newton::{
    Curvature, DampingRule, Direction, Forcing, NewtonOptimizerConfig, Rule, TruncatedCg,
};

/// Levenberg–Marquardt: ℒ = c·‖r(θ)‖² by damped Gauss-Newton steps, c = ½ or 1/n or any other.
///
/// ```text
/// repeat   (2c·JᵀJ + λI) δ = −2c·Jᵀr,   J = ∂r/∂θ
///          ρ = (ℒ(θ + δ) − ℒ(θ)) / (∇ℒᵀδ + c‖Jδ‖²)
///          if ρ > 0:   θ ← θ + δ,   λ ← λ·max(⅓, 1 − (2ρ − 1)³),   ν ← 2
///          otherwise:  λ ← νλ,   ν ← 2ν
/// ```
///
/// The captured closure returns the residuals r as outputs and ℒ as the loss; that ℒ is c·‖r‖² is checked when the optimizer is
/// built. The system is solved by conjugate gradients with products Jv and Jᵀu: JᵀJ is never formed. λ is added to
/// 2c·JᵀJ, as everywhere in this crate, and scales with c.
///
/// # Cost
/// A gradient, about 0.6 gradients for each iteration of conjugate gradients, and a forward pass.
///
/// # Example
/// r = (10(w₂ − w₁²), 1 − w₁): ½‖r‖² is half of Rosenbrock's function.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Objective, optim::LevenbergMarquardtConfig};
///
/// #[derive(Module, Debug)]
/// struct Point {
///     w: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let mut model = Point { w: Param::from_data([-1.2_f32, 1.0], &device) };
/// let one = Tensor::<1>::ones([1], &device);
/// let objective = Objective::capture(&model, one.clone(), |model, one| {
///     let [x, y] = [0, 1].map(|i| model.w.val().slice([i..i + 1]));
///     let r = Tensor::cat(vec![(y - x.clone().powf_scalar(2.0)) * 10.0, one - x], 0);
///     (r.clone(), r.powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let mut optimizer = LevenbergMarquardtConfig::new().init(&objective)?;
/// for _ in 0..30 {
///     (model, _) = optimizer.step(&model, one.clone())?;
/// }
/// assert!(model.w.val().into_data().iter::<f64>().all(|w| (w - 1.0).abs() < 1e-3));
/// # Ok(())
/// # }
/// ```
///
/// # References
/// Levenberg 1944, *A method for the solution of certain non-linear problems in least squares*. Marquardt 1963. Nielsen 1999 (λ
/// and ν), in Madsen, Nielsen & Tingleff 2004, *Methods for non-linear least squares problems*, section 3.2.
#[derive(Config, Debug, PartialEq)]
pub struct LevenbergMarquardtConfig {
    /// λ at the start.
    #[config(default = 1e-3)]
    pub damping: f64,
    /// How λ follows ρ.
    #[config(default = "DampingRule::Nielsen")]
    pub adaptation: DampingRule,
    /// Relative tolerance of each solve.
    #[config(default = "Forcing::Fixed(1e-8)")]
    pub forcing: Forcing,
}

impl LevenbergMarquardtConfig {
    /// The same as a direction and a rule.
    pub fn optimizer(&self) -> NewtonOptimizerConfig {
        let direction =
            TruncatedCg::new().with_curvature(Curvature::Residuals).with_forcing(self.forcing);
        let rule = Rule::LevenbergMarquardt { adaptation: self.adaptation, search: None };
        NewtonOptimizerConfig::new(Direction::ConjugateGradient(direction), rule)
            .with_damping(self.damping)
    }
}

preset!(LevenbergMarquardtConfig);
