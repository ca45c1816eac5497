//! Exact blocks of parameters that belong to no layer.

use burn_backend::AutodiffBackend;

use super::{BesidePolicy, KfacConfig, KfacFisher, moment::Moment, network::Network};
use crate::{
    curvature::{EmpiricalFisher, Fisher, Likelihood},
    error::Error,
    objective::{Objective, Reduction},
    operator::{LinearOperator, OperatorError, SelfAdjoint, materialise_up_to},
    params::ParamVector,
};

/// Exact blocks of parameters that belong to no layer, by position.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExactBlocks(pub(super) Vec<(usize, Moment)>);

impl ExactBlocks {
    /// The moving average decay·self + (1 − decay)·new.
    pub(crate) fn averaged(&self, new: &Self, decay: f64) -> Self {
        let pairs = self.0.iter().zip(&new.0);
        let averaged =
            pairs.map(|((position, old), (_, new))| (*position, old.averaged(new, decay)));
        Self(averaged.collect())
    }
}

/// Exact blocks of the parameters that belong to no layer.
pub(super) fn exact_blocks<B: AutodiffBackend>(
    objective: &Objective<B>,
    network: &Network,
    config: &KfacConfig,
    (likelihood, reduction): (Likelihood, Reduction),
) -> Result<ExactBlocks, Error> {
    if network.beside.is_empty() {
        return Ok(ExactBlocks::default());
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
    let moments = blocks
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
        .collect::<Result<_, Error>>()?;
    Ok(ExactBlocks(moments))
}
