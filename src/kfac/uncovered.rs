//! Exact blocks, or estimated diagonals, of parameters that belong to no layer.

use burn_backend::AutodiffBackend;

use super::{
    KfacConfig, KfacError, KfacFisher, KroneckerFactor, UncoveredPolicy,
    diagonal_estimate::mean_squares,
    matrix::FactorMatrix,
    network::{Network, Uncovered},
};
use crate::{
    curvature::{EmpiricalFisher, Fisher},
    derive::{Likelihood, Metric},
    error::Error,
    objective::{Objective, Part, Reduction},
    operator::{LinearOperator, SelfAdjoint, materialize_up_to},
};

/// Refuses uncovered parameters that are larger than the policy allows.
pub(super) fn expect_size(network: &Network, config: &KfacConfig) -> Result<(), KfacError> {
    let limit = match config.uncovered {
        UncoveredPolicy::ExactBlock { limit } => limit,
        UncoveredPolicy::Diagonal { .. } => return Ok(()),
        UncoveredPolicy::Refuse => 0,
    };
    match network.uncovered.iter().find(|one| one.elements() > limit) {
        None => Ok(()),
        Some(large) => Err(KfacError::Uncovered {
            parameter: large.name().into(),
            reason: large.reason.clone(),
            elements: large.elements(),
            limit,
        }),
    }
}

/// Blocks of uncovered parameters, as the policy wants them.
pub(super) fn uncovered_factors<B: AutodiffBackend>(
    objective: &Objective<B>,
    uncovered: &[&Uncovered],
    config: &KfacConfig,
    (likelihood, reduction): (Likelihood, Reduction),
) -> Result<Vec<KroneckerFactor<B>>, Error> {
    if uncovered.is_empty() {
        return Ok(Vec::new());
    }
    if let UncoveredPolicy::Diagonal { probes, seed } = config.uncovered {
        let target = (likelihood, reduction);
        return diagonals(objective, uncovered, config.fisher, target, (probes, seed));
    }
    let fisher: Box<dyn SelfAdjoint<B>> = match config.fisher {
        KfacFisher::Exact | KfacFisher::ForwardOnly => {
            Box::new(Fisher::exact(objective, likelihood)?)
        }
        KfacFisher::MonteCarlo { draws, seed } => {
            Box::new(Fisher::monte_carlo(objective, likelihood, draws, seed)?)
        }
        KfacFisher::Empirical => Box::new(EmpiricalFisher::new(objective)?),
    };
    let factors = uncovered.iter().map(|one| {
        let block = fisher.as_ref().restricted(one.subset.clone())?;
        let matrix = materialize_up_to(&block, one.elements())?;
        let (size, values) = (matrix.rows(), matrix.values().to_vec());
        let matrix = FactorMatrix::Dense { groups: 1, size, values };
        Ok(KroneckerFactor::known(one.name(), matrix, objective.parameters().space()))
    });
    factors.collect()
}

/// Estimates of their diagonals.
fn diagonals<B: AutodiffBackend>(
    objective: &Objective<B>,
    uncovered: &[&Uncovered],
    fisher: KfacFisher,
    (likelihood, reduction): (Likelihood, Reduction),
    probes: (usize, u64),
) -> Result<Vec<KroneckerFactor<B>>, Error> {
    let metric = match fisher {
        KfacFisher::Empirical => Metric::Empirical,
        _ => Metric::Exact(likelihood.family()),
    };
    let factor = |part: &Part<B>| {
        let share = reduction.factor(part.samples_of_outputs());
        match fisher {
            KfacFisher::Empirical => share.recip(),
            _ => share * likelihood.scale(),
        }
    };
    let positions: Vec<usize> = uncovered.iter().map(|one| one.position).collect();
    let diagonals = mean_squares(objective, metric, &factor, &positions, probes)?;
    let pairs = uncovered.iter().zip(diagonals);
    let factors = pairs.map(|(one, values)| {
        let matrix = FactorMatrix::Diagonal(values);
        matrix.expect_finite(one.name())?;
        Ok(KroneckerFactor::known(one.name(), matrix, objective.parameters().space()))
    });
    factors.collect()
}
