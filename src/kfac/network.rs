//! The layers of a network and what is made of every parameter. Knows objectives, no factors.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    EmbeddingPolicy, KfacApproximation, KfacConfig, KfacFisher, UncoveredPolicy,
    coverage::{CoverageEntry, KfacCoverage, Treatment, WeightSharing},
    layers::Beside,
    pass::{NetworkLayers, network_layers},
    plan::LayerPlan,
    program::{FactorKind, Reduced},
};
use crate::{
    derive::LikelihoodError, error::Error, objective::Objective, operator::OperatorError,
    space::ParamLayout,
};

/// The plans of a network, shared.
pub(super) type Plans = Arc<[LayerPlan]>;

/// The layers of a network, with what is left over.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub plans: Plans,
    /// Parameters that belong to no layer but are used, with the reason.
    pub beside: Vec<(usize, String)>,
    pub coverage: KfacCoverage,
}

impl Network {
    pub fn of<B: AutodiffBackend>(
        objective: &Objective<B>,
        kind: FactorKind,
    ) -> Result<Self, Error> {
        let layers = network_layers(objective)?;
        let groups = layers.groups.iter();
        let plans: Vec<_> = groups.map(|group| LayerPlan::new(group, kind)).collect();
        let blocks = objective.layout().blocks();
        let treatment = |position: usize| {
            let plan =
                plans.iter().find(|plan| plan.weight == position || plan.bias == Some(position));
            if let Some(plan) = plan {
                return Treatment::Kronecker {
                    layer: plan.name().into(),
                    input: plan.d_in,
                    output: plan.d_out,
                    groups: plan.groups,
                    uses: plan.uses,
                    sharing: sharing(plan, kind.reduced, &layers),
                };
            }
            let beside = layers.beside.iter().find(|(one, _)| *one == position);
            match beside.map(|(_, reason)| reason) {
                Some(Beside::Unused) | None => Treatment::Unused,
                Some(reason) => Treatment::ExactBlock { reason: explain(reason) },
            }
        };
        let entries = blocks.iter().enumerate().map(|(position, block)| CoverageEntry {
            parameter: block.name().into(),
            numbers: block.len(),
            treatment: treatment(position),
        });
        let coverage = KfacCoverage { entries: entries.collect() };
        let beside = layers.beside.iter().filter(|(_, reason)| *reason != Beside::Unused);
        let beside = beside.map(|(position, reason)| (*position, explain(reason)));
        Ok(Self { beside: beside.collect(), plans: plans.into(), coverage })
    }
}

fn sharing(plan: &LayerPlan, reduced: Reduced, layers: &NetworkLayers) -> WeightSharing {
    let shared = layers.shared_embeddings.contains(&plan.weight);
    match reduced {
        Reduced::Nothing => WeightSharing::Expand,
        Reduced::ButEmbeddings if shared => WeightSharing::ExpandByPolicy,
        Reduced::ButEmbeddings | Reduced::Everything => WeightSharing::Reduce,
    }
}

/// Which layers a configuration reduces. Embeddings that are used at one place only are the same reduced or not, and
/// their A a diagonal.
pub(super) fn reduced(layers: &NetworkLayers, config: &KfacConfig) -> Reduced {
    match (config.approximation, config.embeddings) {
        (KfacApproximation::Expand, _) => Reduced::Nothing,
        (KfacApproximation::Reduce, EmbeddingPolicy::Expand) => Reduced::ButEmbeddings,
        (KfacApproximation::Reduce, EmbeddingPolicy::Whole { .. }) => {
            match layers.shared_embeddings.is_empty() {
                true => Reduced::ButEmbeddings,
                false => Reduced::Everything,
            }
        }
    }
}

/// Refuses embeddings that are too large to be reduced.
pub(super) fn check_embeddings(
    layers: &NetworkLayers,
    layout: &ParamLayout,
    config: &KfacConfig,
) -> Result<(), OperatorError> {
    let (KfacApproximation::Reduce, EmbeddingPolicy::Whole { limit }) =
        (config.approximation, config.embeddings)
    else {
        return Ok(());
    };
    for position in &layers.shared_embeddings {
        match layout.blocks().get(*position) {
            Some(block) if block.shape().first().is_some_and(|rows| *rows > limit) => {
                return Err(OperatorError::KfacVocabulary {
                    parameter: block.name().into(),
                    rows: block.shape().first().copied().unwrap_or(0),
                    limit,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses what the theory does not cover.
pub(super) fn check(layers: &NetworkLayers, config: &KfacConfig) -> Result<(), Error> {
    if config.fisher == KfacFisher::Exact && !layers.rows_are_samples {
        return Err(OperatorError::KfacPlaces.into());
    }
    if config.approximation == KfacApproximation::Reduce && !layers.even_uses {
        return Err(OperatorError::KfacUnevenUses.into());
    }
    if let KfacFisher::MonteCarlo { draws: 0, .. } = config.fisher {
        return Err(LikelihoodError::NoDraws.into());
    }
    if let UncoveredPolicy::Diagonal { probes: 0, .. } = config.beside {
        return Err(OperatorError::NoProbes.into());
    }
    Ok(())
}

fn explain(reason: &Beside) -> String {
    match reason {
        Beside::Operation(name) => format!("used by {name}"),
        Beside::Mixed => "used by layers of different kinds".into(),
        Beside::Unused => "not used".into(),
    }
}
