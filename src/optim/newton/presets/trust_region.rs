//! Newton's method in a trust region.

use burn::config::Config;

use super::preset;
use crate::optim::newton::{
    Curvature, Direction, Forcing, NewtonOptimizerConfig, Preconditioner, Rule, TruncatedCg,
};

/// Newton's method in a trust region, each subproblem by the truncated conjugate gradients of Steihaug and Toint.
///
/// ```text
/// repeat   δ ≈ argmin  m(δ) = ∇hᵀδ + ½ δᵀ∇²h δ   over ‖δ‖ ≤ Δ
///          ρ = (h(θ + δ) − h(θ)) / m(δ)
///          Δ ← Δ/4 if ρ < ¼;   Δ ← min(2Δ, Δmax) if ρ > ¾ and ‖δ‖ = Δ
///          θ ← θ + δ if ρ > accept
/// ```
///
/// Where the path of conjugate gradients leaves the region, or meets a direction of negative curvature, δ is its point on the
/// boundary.
///
/// # What Steihaug's point is, and what it is not
/// For a positive definite Hessian, δ achieves at least half of the greatest possible decrease of m (Yuan 2000). For an
/// indefinite one, δ decreases m at least as far as steepest descent does, and no more is known. In the *hard case*, ∇h has no
/// part along the eigenvector of the smallest eigenvalue. Conjugate gradients then never see that eigenvalue, although the
/// minimum of m lies along its eigenvector. Iterates may end at a saddle for this reason. Lanczos' process finds the
/// eigenvector where ∇h has vanished, and the next step leaves the saddle along it ([`TruncatedCg::leave_saddles`]).
///
/// # Cost
/// As [`NewtonCgConfig`](super::NewtonCgConfig); a refused step costs the same again, on a smaller region.
///
/// # Example
/// ℒ = (w² − 1)² at its saddle (here a maximum) w = 0: the curvature there is −4, and the step goes to the boundary.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Objective, optim::{TrustRegionNewtonConfig, Verdict}};
///
/// #[derive(Module, Debug)]
/// struct Point {
///     w: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Point { w: Param::from_tensor(Tensor::zeros([1], &device)) };
/// let none = Tensor::<1>::zeros([1], &device);
/// let objective = Objective::capture(&model, none.clone(), |model, none| {
///     ((model.w.val().powf_scalar(2.0) - 1.0).powf_scalar(2.0) + none).sum()
/// })?;
/// let mut optimizer = TrustRegionNewtonConfig::new().with_radius(0.5).init(&objective)?;
/// let (model, step) = optimizer.step(&model, none)?;
/// assert_eq!(step.verdict, Verdict::NegativeCurvature);
/// assert!((model.w.val().into_scalar::<f32>().abs() - 0.5).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
///
/// # References
/// Steihaug 1983, *The conjugate gradient method and trust regions in large scale optimization*. Toint 1981. Nocedal & Wright
/// 2006, *Numerical optimization*, algorithms 4.1 and 7.2. Conn, Gould & Toint 2000, *Trust-region methods*, section 7.5.
/// Yuan 2000, *On the truncated conjugate gradient method*.
#[derive(Config, Debug, PartialEq)]
pub struct TrustRegionNewtonConfig {
    /// The matrix: by default the Hessian.
    #[config(default = "Curvature::Hessian")]
    pub curvature: Curvature,
    /// Relative tolerances of the solves.
    #[config(default = "Forcing::EisenstatWalker { largest: 0.1 }")]
    pub forcing: Forcing,
    /// An approximate inverse for conjugate gradients. The region is then ‖δ‖ ≤ Δ in the norm of its inverse.
    pub preconditioner: Option<Preconditioner>,
    /// Steps from one computation of the preconditioner to the next; see [`TruncatedCg::refresh_every`].
    #[config(default = 1)]
    pub refresh_every: usize,
    /// Δ at the start.
    #[config(default = 1.0)]
    pub radius: f64,
    /// Δmax
    #[config(default = 1e3)]
    pub largest_radius: f64,
    /// Steps with ρ above this are taken: at least 0 and below ¼.
    #[config(default = 0.1)]
    pub accept: f64,
    /// η in h = ℒ + η/2 ‖θ‖².
    #[config(default = 0.0)]
    pub weight_decay: f64,
}

impl TrustRegionNewtonConfig {
    /// The same as a direction and a rule.
    pub fn optimizer(&self) -> NewtonOptimizerConfig {
        let direction = TruncatedCg::new()
            .with_curvature(self.curvature)
            .with_forcing(self.forcing)
            .with_preconditioner(self.preconditioner.clone())
            .with_refresh_every(self.refresh_every);
        let (radius, largest, accept) = (self.radius, self.largest_radius, self.accept);
        let rule = Rule::TrustRegion { radius, largest, accept };
        NewtonOptimizerConfig::new(Direction::ConjugateGradient(direction), rule)
            .with_weight_decay(self.weight_decay)
    }
}

preset!(TrustRegionNewtonConfig);
