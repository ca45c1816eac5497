//! Exact blocks, or diagonals, of parameters that belong to no layer.

use burn_backend::AutodiffBackend;

use super::{
    KfacConfig, KfacFisher, UncoveredPolicy, diagonal_estimate::mean_squares, moment::Moment,
    network::Network,
};
use crate::{
    curvature::{EmpiricalFisher, Fisher},
    derive::{Likelihood, Metric},
    error::Error,
    objective::{Objective, Part, Reduction},
    operator::{LinearOperator, OperatorError, SelfAdjoint, materialize_up_to},
    space::ParamBlock,
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

/// Blocks of the parameters that belong to no layer, as the policy wants them.
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
        UncoveredPolicy::ExactBlock { limit } => limit,
        UncoveredPolicy::Diagonal { probes, seed } => {
            let target = (likelihood, reduction);
            return diagonals(objective, network, config.fisher, target, (probes, seed));
        }
        UncoveredPolicy::Refuse => 0,
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
            Box::new(Fisher::exact(objective, likelihood)?)
        }
        KfacFisher::MonteCarlo { draws, seed } => {
            Box::new(Fisher::monte_carlo(objective, likelihood, draws, seed)?)
        }
        KfacFisher::Empirical => Box::new(EmpiricalFisher::new(objective)?),
    };
    let blocks = network.beside.iter().filter_map(|(position, _)| {
        let block = layout.blocks().get(*position)?;
        let block = layout.select_by(|one| one.name() == block.name());
        Some((*position, block))
    });
    let moments = blocks
        .map(|(position, subset)| {
            let block = fisher.as_ref().restricted(subset?)?;
            let matrix = materialize_up_to(&block, limit)?;
            let moment =
                Moment::Dense { groups: 1, size: matrix.rows(), values: matrix.values().to_vec() };
            Ok((position, moment))
        })
        .collect::<Result<_, Error>>()?;
    Ok(ExactBlocks(moments))
}

/// Estimates of their diagonals.
fn diagonals<B: AutodiffBackend>(
    objective: &Objective<B>,
    network: &Network,
    fisher: KfacFisher,
    (likelihood, reduction): (Likelihood, Reduction),
    probes: (usize, u64),
) -> Result<ExactBlocks, Error> {
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
    let positions: Vec<usize> = network.beside.iter().map(|(position, _)| *position).collect();
    let diagonals = mean_squares(objective, metric, &factor, &positions, probes)?;
    let moments = positions.into_iter().zip(diagonals);
    let moments = moments.map(|(position, values)| {
        let moment = Moment::Diagonal(values);
        let name = objective.layout().blocks().get(position);
        moment.expect_finite(name.map_or("", ParamBlock::name))?;
        Ok((position, moment))
    });
    Ok(ExactBlocks(moments.collect::<Result<_, Error>>()?))
}
