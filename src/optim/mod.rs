//! Optimizers that step by A⁻¹∇ℒ. Depends on K-FAC, curvature and objectives; no room depends on it.

mod error;
mod kfac;

pub use error::OptimizerError;
pub use kfac::{
    KfacInverse, KfacOptimizer, KfacOptimizerConfig, KfacOptimizerState, KfacStep, StepRule,
};
