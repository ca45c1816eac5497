//! Approximate inverses for conjugate gradients: K-FAC, and squared gradients.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, Field},
    derive::{Likelihood, Metric},
    error::Error,
    kfac::{KfacConfig, mean_squares},
    objective::{Objective, Part},
    operator::SelfAdjoint,
    seeds::Seeds,
    solver::Jacobi,
    space::read_tensor,
};

/// A preconditioner of conjugate gradients, computed anew at every step on the batches of the curvature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Preconditioner {
    /// K-FAC's damped inverse, with the damping of the step, which must be above zero if a factor is singular.
    Kfac {
        /// How factors are computed.
        config: KfacConfig,
        /// The likelihood of the loss.
        likelihood: Likelihood,
    },
    /// (diag(c·Σₙ gₙ²) + (λ + η)I)^−exponent, gₙ the gradient of sample n and c = 1 or 1/N as the loss is a sum or a mean
    /// (Martens 2010, section 4.7, with the exponent ¾).
    ///
    /// The diagonal is estimated without bias from sums of gradients with random signs, one backward pass for each probe. The
    /// objective must state its reduction.
    SquaredGradients {
        /// Above 0 and at most 1.
        exponent: f64,
        /// Sums with random signs.
        probes: usize,
        /// Seed of the signs.
        seed: u64,
    },
}

impl Preconditioner {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let Preconditioner::SquaredGradients { exponent, probes, .. } = *self else {
            return Ok(());
        };
        let field = |name| Field { config: "Preconditioner", name };
        let fits = exponent > 0.0 && exponent <= 1.0;
        field("exponent").check(exponent, fits, "above 0 and at most 1")?;
        field("probes").at_least_one(probes)
    }

    pub(super) fn expect_applicable<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<(), Error> {
        match self {
            Preconditioner::Kfac { likelihood, .. } => objective.expect_likelihood(*likelihood),
            Preconditioner::SquaredGradients { .. } => {
                objective.stated_reduction()?;
                Ok(())
            }
        }
    }

    /// About (A + dI)⁻¹ at an objective's parameters.
    pub(super) fn of<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        damping: f64,
        step: u64,
    ) -> Result<Box<dyn SelfAdjoint<B>>, Error> {
        Ok(match self {
            Preconditioner::Kfac { config, likelihood } => {
                // Once is enough: the optimizer has compared loss and likelihood.
                let objective = objective.without_loss_check();
                Box::new(config.init(&objective, *likelihood)?.inverse(damping)?)
            }
            Preconditioner::SquaredGradients { exponent, probes, seed } => {
                let reduction = objective.stated_reduction()?;
                let factor = |part: &Part<B>| part.share(reduction).recip();
                let space = objective.parameters().space();
                let positions: Vec<usize> = (0..space.layout().blocks().len()).collect();
                let seed = Seeds::at(*seed, step);
                let probes = (*probes, seed);
                let squares =
                    mean_squares(objective, Metric::Empirical, &factor, &positions, probes)?;
                let squares: Result<Vec<_>, _> =
                    squares.into_iter().map(read_tensor::<B>).collect();
                let diagonal = space.vector(&squares?.concat())?;
                diagonal.expect_finite("the squared gradients")?;
                Box::new(Jacobi::with_exponent(&diagonal, damping, *exponent)?)
            }
        })
    }
}
