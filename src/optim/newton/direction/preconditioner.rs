//! Approximate inverses for conjugate gradients: K-FAC, and squared gradients.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ConfigError, Field},
    derive::{Likelihood, Metric},
    error::Error,
    kfac::{Kfac, KfacConfig, KfacState, mean_squares},
    objective::{Objective, Part},
    operator::SelfAdjoint,
    optim::OptimizerError,
    seeds::Seeds,
    solver::Jacobi,
    space::{ParamVector, read_tensor},
    state::{Packed, Visit, numbers},
};

/// A preconditioner of conjugate gradients, computed on the batches of the curvature: at every step, or every
/// [`TruncatedCg::refresh_every`](super::TruncatedCg::refresh_every) steps.
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

    /// The factors at an objective's parameters; `step` selects the draws.
    pub(super) fn factors<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        step: usize,
    ) -> Result<Factors<B>, Error> {
        let kept = match self {
            Preconditioner::Kfac { config, likelihood } => {
                // Once is enough: the optimizer has compared loss and likelihood.
                let objective = objective.without_loss_check();
                Kept::Kfac(config.at_step(step).init(&objective, *likelihood)?)
            }
            Preconditioner::SquaredGradients { probes, seed, .. } => {
                let reduction = objective.stated_reduction()?;
                let factor = |part: &Part<B>| part.share(reduction).recip();
                let space = objective.parameters().space();
                let positions: Vec<usize> = (0..space.layout().blocks().len()).collect();
                let probes = (*probes, Seeds::at(*seed, step as u64));
                let squares =
                    mean_squares(objective, Metric::Empirical, &factor, &positions, probes)?;
                let squares: Result<Vec<_>, _> =
                    squares.into_iter().map(read_tensor::<B>).collect();
                let diagonal = space.vector(&squares?.concat())?;
                diagonal.expect_finite("the squared gradients")?;
                Kept::Squares(diagonal)
            }
        };
        Ok(Factors { step, kept })
    }

    /// An approximation of (A + dI)⁻¹ from the factors of this or an earlier step.
    pub(super) fn inverse<B: AutodiffBackend>(
        &self,
        factors: &Factors<B>,
        damping: f64,
    ) -> Result<Box<dyn SelfAdjoint<B>>, Error> {
        Ok(match &factors.kept {
            Kept::Kfac(kfac) => Box::new(kfac.inverse(damping)?),
            Kept::Squares(diagonal) => {
                Box::new(Jacobi::with_exponent(diagonal, damping, self.exponent())?)
            }
        })
    }

    fn exponent(&self) -> f64 {
        match self {
            Preconditioner::Kfac { .. } => 1.0,
            Preconditioner::SquaredGradients { exponent, .. } => *exponent,
        }
    }
}

/// The factors of a preconditioner, and the step at which they were computed. Independent of the damping.
#[derive(Clone)]
pub(in crate::optim::newton) struct Factors<B: AutodiffBackend> {
    pub step: usize,
    kept: Kept<B>,
}

#[derive(Clone)]
enum Kept<B: AutodiffBackend> {
    Kfac(Kfac<B>),
    /// diag(c·Σₙ gₙ²)
    Squares(ParamVector<B>),
}

/// The same as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::optim::newton) struct FactorsState {
    step: usize,
    kept: KeptState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum KeptState {
    Kfac(KfacState),
    Squares(#[serde(with = "numbers")] Vec<f64>),
}

impl FactorsState {
    pub fn visit(&mut self, visit: &mut Visit<'_>) {
        match &mut self.kept {
            KeptState::Kfac(kfac) => kfac.visit(&mut |name, shape, numbers| {
                visit(&format!("preconditioner/{name}"), shape, numbers);
            }),
            KeptState::Squares(squares) => visit("preconditioner", &[], squares),
        }
    }
}

impl<B: AutodiffBackend> Factors<B> {
    pub fn state(&self) -> Result<FactorsState, Error> {
        let kept = match &self.kept {
            Kept::Kfac(kfac) => KeptState::Kfac(kfac.state()?),
            Kept::Squares(diagonal) => KeptState::Squares(diagonal.to_vec()?),
        };
        Ok(FactorsState { step: self.step, kept })
    }

    /// Those of a state, for a preconditioner of the same kind.
    pub fn from_state(
        preconditioner: &Preconditioner,
        objective: &Objective<B>,
        state: &FactorsState,
    ) -> Result<Self, Error> {
        let space = objective.parameters().space();
        let kept = match (preconditioner, &state.kept) {
            (Preconditioner::Kfac { .. }, KeptState::Kfac(kfac)) => {
                Kept::Kfac(Kfac::from_state(objective, kfac)?)
            }
            (Preconditioner::SquaredGradients { .. }, KeptState::Squares(squares))
                if squares.len() == space.len() =>
            {
                Kept::Squares(space.vector(squares)?)
            }
            _ => {
                let reason = "its preconditioner is of another kind or of other parameters";
                return Err(OptimizerError::State { reason }.into());
            }
        };
        Ok(Self { step: state.step, kept })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::{
        backend::{Autodiff, Flex},
        nn::{Linear, LinearConfig},
        prelude::*,
    };

    use super::{Kept, Preconditioner};
    use crate::{
        derive::Likelihood,
        kfac::{KfacConfig, KfacFisher},
        objective::{CaptureConfig, Objective, Reduction},
        operator::LinearOperator,
    };

    type B = Autodiff<Flex>;

    /// Factors that are computed at another step have other draws; at the same step they are the same.
    #[test]
    fn kfac_draws_afresh_at_every_step() {
        let device = Device::flex().autodiff();
        let model = LinearConfig::new(2, 5).init(&device);
        let x = Tensor::<2>::from_floats([[1.0, 2.0], [0.5, -1.0], [-1.0, 1.0]], &device);
        let captured =
            Objective::<B>::capture_with(&CaptureConfig::new(), &model, x, |model: &Linear, x| {
                let z = model.forward(x);
                (z.clone(), z.square().sum() * 0.5)
            });
        let objective = captured.unwrap().reduced_by(Reduction::Sum).unwrap();
        let v = objective.parameters().space().ones();
        let product = |fisher, step| {
            let config = KfacConfig::new().with_fisher(fisher);
            let likelihood = Likelihood::Gaussian { variance: 1.0 };
            let factors = Preconditioner::Kfac { config, likelihood }.factors(&objective, step);
            match factors.unwrap().kept {
                Kept::Kfac(kfac) => kfac.apply(&v).unwrap().to_vec().unwrap(),
                Kept::Squares(_) => Vec::new(),
            }
        };
        let default = KfacFisher::default();
        assert_eq!(product(default, 1), product(default, 1));
        assert_ne!(product(default, 1), product(default, 2));
        assert_eq!(product(KfacFisher::Exact, 1), product(KfacFisher::Exact, 2));
        assert!(!product(KfacFisher::Exact, 1).is_empty());
    }
}
