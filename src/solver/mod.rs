//! Solvers for A x = b with a self-adjoint A. Depends on `operator`, `krylov` and `spectrum`; independent of models and
//! losses.
//!
//! # Which solver when
//!
//! | A is | unknowns | take | you also get |
//! |---|---|---|---|
//! | positive definite (a damped Gauss-Newton, a Hessian at a minimum) | any | [`ConjugateGradient`] | Ritz estimates of λmin, λmax and κ |
//! | positive definite, and many b | any | [`ConjugateGradient`] by `solve_many`: one batched product per iteration | the same for each b |
//! | positive definite but badly scaled | any | [`ConjugateGradient`] with [`Jacobi`] in [`SolveOptions`] | the same for M⁻¹A |
//! | positive definite, κ above 10⁴, with some large eigenvalues | any | [`ConjugateGradient`] with the preconditioner of [`Nystrom`] | the same for M⁻¹A |
//! | a damped low-rank matrix, and a rough answer suffices | any | [`Nystrom`] by itself: (Â + λI)⁻¹b; as many products as its rank | the eigenvalues kept |
//! | definite or not, and x is a step within a trust region | any | [`ConjugateGradient`] with `trust_radius` | the direction of negative curvature, if it met one |
//! | possibly indefinite (a Hessian), and it matters whether it is | any | [`ConjugateGradient`]: it stops at negative curvature | the direction p and pᵀAp/pᵀp |
//! | indefinite or singular, and you need a solution anyway | any | [`Minres`]: A⁺b | whether it solves the system or is the shortest least-squares solution |
//! | indefinite, κ above 10³ | up to a few hundred | [`Minres`] with `reorthogonalization` | the same, after at most n steps |
//! | positive definite, κ small, and x must be a fixed linear map of b (unrolled gradient steps, implicit derivatives) | any | [`Neumann`] | a bound on the error |
//! | positive definite, known through mini-batches only | any | [`Lissa`] | the standard error over repeats |
//! | the empirical Fisher matrix of a few hundred samples, damped | any | [`Woodbury`] on their gradients in a [`LowRank`](crate::operator::LowRank) | the rank; x is refined to rounding |
//! | anything self-adjoint | up to a few thousand | [`Direct`], once for all b | exact κ (if A is not positive definite), and whether A is singular |
//! | positive definite, κ above 10⁴ in f32 or 10¹⁰ in f64 | any | damping, f64, or a preconditioner | |
//!
//! Every solver returns a [`Solution`]: x and a [`SolveReport`] with the stop reason, the true residual ‖b − A x‖
//! computed at the end, and one sentence of advice. Running out of iterations or meeting negative curvature is a
//! [`StopReason`]; an `Err` is a broken contract (layouts that differ, NaN, a configuration out of range).
//!
//! An operator that is not self-adjoint does not compile here:
//! ```compile_fail
//! use burn::backend::{Autodiff, Flex};
//! use burn_curvature::{ConjugateGradientConfig, LinearSolver, ParamSpace, ParamVector, operator::FromFn};
//!
//! let space = ParamSpace::<Autodiff<Flex>>::flat(2).unwrap();
//! let b = space.ones();
//! let jacobian = FromFn::new(&space, |v: &ParamVector<Autodiff<Flex>>| Ok(v.clone())).unwrap();
//! ConjugateGradientConfig::new().init().unwrap().solve(&jacobian, &b); // needs `.assume_self_adjoint()?`
//! ```

mod by_reference;
mod conjugate_gradient;
mod convergence;
mod detail;
mod direct;
mod eigenvalues;
mod error;
mod inverse;
mod jacobi;
mod lissa;
mod minres;
mod monitor;
mod neumann;
mod nystrom;
mod options;
mod report;
mod solution;
mod stopping;
mod system;
mod units;
mod woodbury;

pub use conjugate_gradient::{ConjugateGradient, ConjugateGradientConfig, OnNegativeCurvature};
pub use convergence::Convergence;
pub use detail::MethodDetail;
pub use direct::{Direct, DirectConfig, DirectMethod};
pub use eigenvalues::ExtremeEigenvalues;
pub use error::{SolverError, UnusedOption};
pub use inverse::{Inverse, OnFailedSolve};
pub use jacobi::Jacobi;
pub use lissa::{Lissa, LissaConfig};
pub use minres::{Minres, MinresConfig};
pub use neumann::{Neumann, NeumannConfig, NeumannScale};
pub use nystrom::{Nystrom, NystromApproximation, NystromConfig};
pub use options::{Iteration, SolveOptions};
pub use report::{Method, SolveReport};
pub use solution::{LinearSolver, NegativeCurvature, Solution};
pub use stopping::StopReason;
pub use woodbury::Woodbury;
