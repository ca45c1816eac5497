//! Where a step goes: δ ≈ −(A + (λ + η)I)⁻¹∇h. Independent of rules.

mod escape;
mod forcing;
mod iterates;
mod lissa;
mod preconditioner;
mod residuals;
mod truncated_cg;

pub use forcing::Forcing;
pub use preconditioner::Preconditioner;
pub(super) use preconditioner::{Factors, FactorsState};
pub use truncated_cg::{Curvature, TruncatedCg};

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{Memory, point::Point};
use crate::{
    config::ConfigError,
    error::Error,
    objective::Objective,
    solver::{LissaConfig, SolveReport},
    space::ParamVector,
};

/// The direction of a Newton-type method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Direction {
    /// Truncated conjugate gradients on the Hessian or the Gauss-Newton matrix.
    ConjugateGradient(TruncatedCg),
    /// LiSSA, the stochastic Neumann series, on the Hessian of a data set. Each batch is a term of the Hessian. Every
    /// step has its own seed, derived from that of the configuration.
    Lissa(LissaConfig),
}

/// A direction, and what is known about it.
pub(super) struct Proposal<B: AutodiffBackend> {
    pub delta: ParamVector<B>,
    /// ∇hᵀδ
    pub slope: f64,
    /// ∇hᵀδ + ½ δᵀ(A + ηI)δ, if it is known or was requested.
    pub predicted: Option<f64>,
    /// h(θ + δ), if it was computed on the way.
    pub value: Option<f64>,
    /// vᵀ(A + ηI)v / vᵀv of a direction of negative curvature that δ lies along, or ends with.
    pub negative: Option<f64>,
    /// Products with A.
    pub products: usize,
    pub solve: Option<SolveReport>,
}

impl Direction {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Direction::ConjugateGradient(cg) => cg.validate(),
            Direction::Lissa(lissa) => lissa.init().map(drop),
        }
    }

    /// Whether the direction can be confined to a trust region.
    pub(super) fn fits_a_region(&self) -> bool {
        match self {
            Direction::ConjugateGradient(cg) => {
                cg.warm_start.is_none() && cg.backtracking.is_none()
            }
            Direction::Lissa(_) => false,
        }
    }

    /// The preconditioner whose factors are kept from step to step.
    pub(super) fn kept_preconditioner(&self) -> Option<&Preconditioner> {
        match self {
            Direction::ConjugateGradient(cg) if cg.refresh_every > 1 => cg.preconditioner.as_ref(),
            _ => None,
        }
    }

    /// Refuses an objective that does not have what the direction needs.
    pub(super) fn expect_applicable<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<(), Error> {
        match self {
            Direction::ConjugateGradient(cg) => cg.expect_applicable(objective),
            Direction::Lissa(_) => Ok(()), // the objective of a step may have more batches than this one
        }
    }

    /// The direction at a point; `models` asks for the predicted change.
    pub(super) fn propose<B: AutodiffBackend>(
        &self,
        point: &Point<'_, B>,
        memory: &mut Memory<B>,
        models: bool,
    ) -> Result<Proposal<B>, Error> {
        match self {
            Direction::ConjugateGradient(cg) => truncated_cg::propose(cg, point, memory),
            Direction::Lissa(config) => lissa::propose(config, point, memory, models),
        }
    }

    /// A way out of a stationary point, if the curvature is negative in some direction; with the products it took.
    pub(super) fn escape<B: AutodiffBackend>(
        &self,
        point: &Point<'_, B>,
        memory: &Memory<B>,
    ) -> Result<(Option<Proposal<B>>, usize), Error> {
        match self {
            Direction::ConjugateGradient(cg)
                if cg.leave_saddles && cg.curvature == Curvature::Hessian =>
            {
                escape::escape(point, memory)
            }
            _ => Ok((None, 0)),
        }
    }
}
