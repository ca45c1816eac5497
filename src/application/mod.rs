//! What A⁻¹b is wanted for. Knows every other room, and none of them knows it.

mod error;
mod kfac_optimiser;

pub use error::ApplicationError;
pub use kfac_optimiser::{
    KfacInverse, KfacOptimiser, KfacOptimiserConfig, KfacOptimiserState, KfacStep, StepRule,
};
