//! Eigenvalues of operators too large to write down. Knows operators and vectors; knows no model, no loss and no solver.
//!
//! | wanted | take | cost in products |
//! |---|---|---|
//! | λmax, λmin, ‖A‖₂, the top or bottom eigenpairs | [`Lanczos`] | dozens to hundreds |
//!
//! All draw from a seed: the same seed gives the same numbers on the same backend. They take a vector `like` those of
//! the operator's domain for its layout, device and precision, as [`materialise`](crate::materialise) does.

mod eigen;
mod error;
mod frame;
mod krylov;
mod products;
mod tridiagonal;

pub use eigen::{
    Eigenpairs, EigenpairsReport, EigenpairsStop, Lanczos, LanczosConfig, SpectrumEnd,
};
pub use error::SpectrumError;

pub(crate) use tridiagonal::Tridiagonal;
