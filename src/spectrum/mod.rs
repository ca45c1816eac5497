//! Eigenvalues of operators too large to store. Depends on operators and vectors; independent of models, losses and
//! solvers.
//!
//! | quantity | estimator | cost in products |
//! |---|---|---|
//! | λmax, λmin, ‖A‖₂, the top or bottom eigenpairs | [`Lanczos`] | dozens to hundreds |
//! | the trace | [`TraceEstimator`] | as many as given; 60 by default |
//! | the diagonal | [`DiagonalEstimator`] | as many as given; 60 by default |
//! | ‖A‖_F | [`FrobeniusNorm`] | as many as given; 60 by default |
//! | the density of eigenvalues, tr f(A), log det(A + λI) | [`DensityEstimator`] | probes × steps; 600 by default |
//!
//! All draw from a seed: the same seed gives the same results on the same backend.

mod density;
mod diagonal;
mod eigen;
mod error;
mod estimate;
mod norm;
mod sketch;
mod trace;

pub use density::{
    DensityCurve, DensityEstimator, DensityEstimatorConfig, QuadratureRule, SpectralDensity,
};
pub use diagonal::{DiagonalEstimate, DiagonalEstimator, DiagonalEstimatorConfig, DiagonalMethod};
pub use eigen::{
    Eigenpairs, EigenpairsReport, EigenpairsStop, Lanczos, LanczosConfig, SpectrumEnd,
};
pub use error::SpectrumError;
pub use estimate::Estimate;
pub use norm::{FrobeniusNorm, FrobeniusNormConfig};
pub use trace::{TraceEstimator, TraceEstimatorConfig, TraceMethod};
