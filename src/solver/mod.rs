//! Solvers for A x = b with a self-adjoint A. Knows operators and vectors; knows no model and no loss.
//!
//! # How to choose a solver
//!
//! | A is | unknowns | take | it answers with |
//! |---|---|---|---|
//! | positive definite (a damped Gauss-Newton, a Hessian at a minimum) | any | [`ConjugateGradient`] | Ritz estimates of λmin, λmax and κ |
//! | of unknown sign (a Hessian) | any | [`ConjugateGradient`]: it stops at negative curvature and hands out the direction | the direction p and pᵀAp/pᵀp |
//! | indefinite, and the solution is wanted all the same | up to some hundreds | [`ConjugateGradient`] with `reorthogonalisation` and [`OnNegativeCurvature::Continue`] | the solution, after at most n steps |
//! | anything self-adjoint | up to some thousands | [`Direct`] | the solution in f64, exact κ, singular directions |
//! | positive definite but ill-conditioned (κ above 10⁴ in f32, 10¹⁰ in f64) | any | damping, f64, or a preconditioner in [`SolveOptions`] | |
//!
//! Every solver returns a [`Solution`]: x and a [`SolveReport`] with the stop reason, the true residual ‖b − A x‖
//! computed at the end, and one sentence of advice. Running out of iterations or meeting negative curvature is a
//! [`StopReason`]; an `Err` is a broken contract (layouts that differ, NaN, a configuration out of range).
//!
//! An operator that is not self-adjoint does not compile here:
//! ```compile_fail
//! use burn::backend::{Autodiff, Flex};
//! use burn_curvature::{ConjugateGradientConfig, FromFn, ParamLayout, ParamVector, Precision};
//!
//! let layout = ParamLayout::flat(2).unwrap();
//! let b = ParamVector::<Autodiff<Flex>>::full(&layout, 1.0, &Default::default(), Precision::F64).unwrap();
//! let jacobian = FromFn::new(&layout, |v: &ParamVector<Autodiff<Flex>>| Ok(v.clone()));
//! ConjugateGradientConfig::new().init().unwrap().solve(&jacobian, &b); // needs `.assume_self_adjoint()?`
//! ```

mod basis;
mod config;
mod conjugate_gradient;
mod direct;
mod error;
mod minres;
mod options;
mod report;
mod ritz;
mod solution;
mod start;
mod stopping;
mod system;
mod tridiagonal;

pub use conjugate_gradient::{ConjugateGradient, ConjugateGradientConfig, OnNegativeCurvature};
pub use direct::{Direct, DirectConfig, DirectMethod};
pub use error::{ConfigError, SolverError};
pub use minres::{Minres, MinresConfig};
pub use options::{Iteration, SolveOptions};
pub use report::{Method, SolveReport, Spectrum};
pub use solution::{LinearSolver, NegativeCurvature, Solution};
pub use stopping::StopReason;
