//! Newton-CG with a line search.

use burn::config::Config;

use super::preset;
use crate::optim::newton::{
    Armijo, Curvature, Direction, Forcing, NewtonOptimizerConfig, Preconditioner, Rule, TruncatedCg,
};

/// Newton-CG: truncated conjugate gradients on the Hessian, and backtracking.
///
/// ```text
/// repeat   ∇²h δ = −∇h by conjugate gradients, to ‖∇h + ∇²h δ‖ ≤ τₖ ‖∇h‖
///          if pᵀ∇²h p < 0 for a search direction p:   δ = ±p, downhill
///          α = 1, s, s², … until h(θ + αδ) ≤ h + cα∇hᵀδ
///          θ ← θ + αδ
/// ```
///
/// With the tolerances τₖ of Eisenstat and Walker the convergence is quadratic in the end. The steps stay the same if the loss
/// and λ are scaled together.
///
/// # Cost
/// A step costs a gradient, a product with the Hessian for each iteration of conjugate gradients, and mostly one forward pass.
///
/// # Example
/// A quadratic in one step: ℒ = ½ Σ aᵢ(wᵢ − 1)².
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Objective, optim::{NewtonCgConfig, Forcing, Verdict}};
///
/// #[derive(Module, Debug)]
/// struct Bowl {
///     w: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Bowl { w: Param::from_tensor(Tensor::zeros([2], &device)) };
/// let a = Tensor::<1>::from_floats([1.0, 100.0], &device);
/// let objective = Objective::capture(&model, a.clone(), |model, a| {
///     ((model.w.val() - 1.0).powf_scalar(2.0) * a).sum() * 0.5
/// })?;
/// let mut optimizer = NewtonCgConfig::new().with_forcing(Forcing::Fixed(1e-6)).init(&objective)?;
/// let (model, step) = optimizer.step(&model, a)?;
/// assert_eq!((step.value, step.verdict), (50.5, Verdict::Taken));
/// assert!(model.w.val().into_data().iter::<f64>().all(|w| (w - 1.0).abs() < 1e-5));
/// # Ok(())
/// # }
/// ```
///
/// # References
/// Dembo, Eisenstat & Steihaug 1982, *Inexact Newton methods*. Nocedal & Wright 2006, *Numerical optimization*, algorithm 7.1.
/// Eisenstat & Walker 1996, *Choosing the forcing terms in an inexact Newton method*. Royer, O'Neill & Wright 2020, *A
/// Newton-CG algorithm with complexity guarantees for smooth unconstrained optimization* (negative curvature).
#[derive(Config, Debug, PartialEq)]
pub struct NewtonCgConfig {
    /// The matrix: by default the Hessian.
    #[config(default = "Curvature::Hessian")]
    pub curvature: Curvature,
    /// Relative tolerances τₖ.
    #[config(default = "Forcing::EisenstatWalker { largest: 0.1 }")]
    pub forcing: Forcing,
    /// An approximate inverse for conjugate gradients.
    pub preconditioner: Option<Preconditioner>,
    /// Steps from one computation of the preconditioner to the next; see [`TruncatedCg::refresh_every`].
    #[config(default = 1)]
    pub refresh_every: usize,
    /// The line search.
    #[config(default = "Armijo::new()")]
    pub search: Armijo,
    /// λ
    #[config(default = 0.0)]
    pub damping: f64,
    /// η in h = ℒ + η/2 ‖θ‖².
    #[config(default = 0.0)]
    pub weight_decay: f64,
}

impl NewtonCgConfig {
    /// The same as a direction and a rule.
    pub fn optimizer(&self) -> NewtonOptimizerConfig {
        let direction = TruncatedCg::new()
            .with_curvature(self.curvature)
            .with_forcing(self.forcing)
            .with_preconditioner(self.preconditioner.clone())
            .with_refresh_every(self.refresh_every);
        let direction = Direction::ConjugateGradient(direction);
        NewtonOptimizerConfig::new(direction, Rule::Armijo(self.search))
            .with_damping(self.damping)
            .with_weight_decay(self.weight_decay)
    }
}

preset!(NewtonCgConfig);
