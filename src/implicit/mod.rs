//! Implicit differentiation: derivatives through the minimizer of an inner problem. Depends on objectives, curvature and
//! solvers; no room depends on it.
//!
//! ```text
//! θ*(η) = argmin ℒ(θ, η)      dL/dη = ∂L/∂η − ∂L/∂θ·A⁻¹·∂²ℒ/∂θ∂η      A = ∂²ℒ/∂θ²
//! ```
//!
//! | you want | take |
//! |---|---|
//! | the derivative of a validation loss with respect to hyperparameters | [`ImplicitFunction::hypergradient`] |
//! | how the minimizer moves with them | [`ImplicitFunction::tangent`], [`ImplicitFunction::adjoint`] |
//! | a cheap, biased hypergradient: one step, or K steps | the same with the solver [`truncated`] |
//! | an initialization that adapts to a new task from few samples | [`Imaml`] |
//! | the inner minimum itself | your own training, or [`InnerSolver`] |
//!
//! ℒ is the inner (training) loss, L the outer (validation) loss. η is a Burn module of its own, which the captured
//! closure receives with the model ([`HyperObjective`]): weight decays, sample weights, images, a network. One
//! recording of the loss in (θ, η) gives A, the mixed derivative in both directions and both gradients; each is derived
//! with the other parameters as data, so that a solve costs the same as without hyperparameters.
//!
//! It is based on Larsen et al. 1996 and Bengio 2000 (the formula), Pedregosa 2016 (inexact solves), Lorraine, Vicol &
//! Duvenaud 2020, *Optimizing millions of hyperparameters by implicit differentiation*, and for meta-learning on
//! Rajeswaran et al. 2019. It does not differentiate an inner training: the result of a training that stops early is
//! not θ*(η), but a different function of η.

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
