//! Exact blocks of parameters that belong to no layer.

use burn_backend::AutodiffBackend;

use super::{BesidePolicy, KfacConfig, KfacFisher, factors::Network, moment::Moment};
use crate::{
    curvature::{EmpiricalFisher, Fisher, Likelihood},
    error::Error,
    objective::{Objective, Reduction},
    operator::{LinearOperator, OperatorError, SelfAdjoint, materialise_up_to},
    params::ParamVector,
};

/// Exact blocks of the parameters that belong to no layer.
pub(super) fn exact_blocks<B: AutodiffBackend>(
    objective: &Objective<B>,
    network: &Network,
    config: &KfacConfig,
    (likelihood, reduction): (Likelihood, Reduction),
) -> Result<Vec<(usize, Moment)>, Error> {
    if network.beside.is_empty() {
        return Ok(Vec::new());
    }
    let layout = objective.layout();
    let limit = match config.beside {
        BesidePolicy::ExactBlock { limit } => limit,
        BesidePolicy::Refuse => 0,
    };
    for (position, reason) in &network.beside {
        match layout.blocks().get(*position) {
            Some(block) if block.len() > limit => {
                return Err(OperatorError::KfacBeside {
                    parameter: block.name().into(),
                    reason: reason.clone(),
                    numbers: block.len(),
                    limit,
                }
                .into());
            }
            _ => {}
        }
    }
    let fisher: Box<dyn SelfAdjoint<B>> = match config.fisher {
        KfacFisher::Exact | KfacFisher::ForwardOnly => {
            Box::new(Fisher::exact(objective, likelihood, reduction)?)
        }
        KfacFisher::MonteCarlo { draws, seed } => Box::new(Fisher::monte_carlo(
            objective, likelihood, reduction, draws, seed,
        )?),
        KfacFisher::Empirical => Box::new(EmpiricalFisher::new(objective, reduction)?),
    };
    let blocks = network.beside.iter().filter_map(|(position, _)| {
        let block = layout.blocks().get(*position)?;
        let block = layout.select_by(|one| one.name() == block.name());
        Some((*position, block))
    });
    blocks
        .map(|(position, subset)| {
            let block = fisher.as_ref().restricted(subset?)?;
            let like = ParamVector::zeros(
                block.domain(),
                objective.parameters().device(),
                objective.precision(),
            )?;
            let matrix = materialise_up_to(&block, &like, limit)?;
            let moment = Moment::Dense {
                groups: 1,
                size: matrix.rows(),
                values: matrix.values().to_vec(),
            };
            Ok((position, moment))
        })
        .collect()
}
