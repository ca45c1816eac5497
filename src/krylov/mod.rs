//! What methods on Krylov spaces share: bases, tridiagonal matrices, Ritz values, counted products. Depends on `operator`
//! and `space`; independent of what the spaces are for.

mod basis;
mod error;
mod products;
mod residuals;
mod ritz;
mod space;
mod tridiagonal;

pub(crate) use basis::{Basis, Projection};
pub use error::KrylovError;
pub(crate) use products::{Products, finite_dot, not_finite};
pub(crate) use residuals::ResidualBasis;
pub(crate) use ritz::RitzRecorder;
pub(crate) use space::{KrylovSpace, RitzPairs};
pub(crate) use tridiagonal::Tridiagonal;
