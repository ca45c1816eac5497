//! Implicit differentiation: derivatives through the minimizer of an inner problem. Depends on objectives, curvature and
//! solvers; no room depends on it.
//!
//! ```text
//! θ*(η) = argmin ℒ(θ, η)      dL/dη = ∂L/∂η − ∂L/∂θ·A⁻¹·∂²ℒ/∂θ∂η      A = ∂²ℒ/∂θ²
//! ```
//!
//! | you want | take |
//! |---|---|
//! | the derivative of a validation loss in hyperparameters | [`ImplicitFunction::hypergradient`] |
//! | how the minimizer moves with them | [`ImplicitFunction::tangent`], [`ImplicitFunction::adjoint`] |
//! | a cheap, biased hypergradient: one step, or K steps | the same with the solver [`truncated`] |
//! | a start from which few samples of a new task suffice | [`Imaml`] |
//! | the inner minimum itself | your own training, or [`InnerSolver`] |
//!
//! η is a Burn module of its own, which the captured closure gets besides the model ([`HyperObjective`]): decays,
//! weights of samples, images, a network. One recording of the loss in (θ, η) gives A, the mixed derivative in both
//! directions and both gradients; each is derived with the other parameters as data, so that a solve costs what it
//! costs without hyperparameters.
//!
//! It is based on Larsen et al. 1996 and Bengio 2000 (the formula), Pedregosa 2016 (inexact solves), Lorraine, Vicol &
//! Duvenaud 2020, *Optimizing millions of hyperparameters by implicit differentiation*, and for meta-learning on Rajeswaran et
//! al. 2019. It does not differentiate an inner training: the result of a training that stops early is not θ*(η) but
//! another function of η.

mod blocks;
mod bound;
mod config;
mod error;
mod function;
mod hypergradient;
mod imaml;
mod inner;
mod objective;
mod outer;
mod report;
mod split;
mod truncated;

pub use blocks::{InnerMatrix, MixedDerivative};
pub use config::{ImplicitConfig, InnerCurvature, LipschitzConstants};
pub use error::ImplicitError;
pub use function::{ImplicitFunction, ImplicitProduct};
pub use hypergradient::Hypergradient;
pub use imaml::{Imaml, ImamlConfig, MetaGradient, MetaReport, ProximalProblem, TaskReport};
pub use inner::{InnerReport, InnerSolver};
pub use objective::{HyperGradient, HyperObjective};
pub use outer::OuterObjective;
pub use report::{ErrorBound, HypergradientReport, Verdict};
pub use truncated::truncated;
