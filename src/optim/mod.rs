//! Optimizers that step by A⁻¹∇ℒ. Depends on solvers, K-FAC, curvature and objectives; no room depends on it.
//!
//! | optimizer | direction | size of a step | for |
//! |---|---|---|---|
//! | [`KfacOptimizer`] | K-FAC's inverse | the quadratic model, or a learning rate | networks, mini-batches |
//! | [`NewtonCgConfig`] | truncated conjugate gradients on the Hessian | Armijo | smooth losses, to high accuracy |
//! | [`TrustRegionNewtonConfig`] | the same within a radius (Steihaug, Toint) | trust region | non-convex losses, to high accuracy |
//! | [`LissaNewtonConfig`] | LiSSA on the batches of a data set | a fixed rate | convex losses, many samples |
//! | [`HessianFreeConfig`] | conjugate gradients on the Gauss-Newton matrix | damping and line search (Martens 2010) | deep networks, large batches |
//! | [`LevenbergMarquardtConfig`] | the damped Gauss-Newton system of residuals | damping | nonlinear least squares |
//!
//! The last five are presets of one [`NewtonOptimizer`], which combines a [`Direction`] with a [`Rule`].

mod error;
mod instance;
mod kfac;
mod newton;
mod point;

pub use error::OptimizerError;
pub use kfac::{
    KfacInverse, KfacOptimizer, KfacOptimizerConfig, KfacOptimizerState, KfacStep, StepRule,
};
pub use newton::{
    Armijo, Curvature, DampingRule, Direction, Forcing, HessianFreeConfig,
    LevenbergMarquardtConfig, LissaNewtonConfig, NewtonCgConfig, NewtonOptimizer,
    NewtonOptimizerConfig, NewtonOptimizerState, NewtonStep, Preconditioner, Rule, TruncatedCg,
    TrustRegionNewtonConfig, Verdict,
};
