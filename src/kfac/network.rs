//! From the layers of a program to the blocks of the curvature, with the treatment of every parameter. Refuses what the
//! theory does not cover.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    EmbeddingPolicy, KfacApproximation, KfacConfig, KfacError, UncoveredPolicy,
    block::{Block, Network, Uncovered},
    coverage::{CoverageEntry, KfacCoverage, Treatment, WeightSharing},
    layers::{LayerGroup, LayerKind, Leftover, NetworkLayers, Separation},
    pass::{KnownLayer, Structure, names},
    program::{FactorKind, Reduced},
};
use crate::{derive::LikelihoodError, error::Error, objective::Objective, space::ParamLayout};

impl Network {
    /// The network with the layers of its first batch.
    pub fn of_layers<B: AutodiffBackend>(
        objective: &Objective<B>,
        found: &NetworkLayers,
        kind: FactorKind,
    ) -> Result<Self, Error> {
        let layout = objective.layout();
        let layers = found.layers.iter().enumerate().map(|(index, group)| {
            let treatment = (kind.has_diagonal(group), treatment(group, kind.reduced));
            Ok(Arc::new(Block::of_layer((index, group), treatment, layout)?))
        });
        let mut blocks = layers.collect::<Result<Vec<_>, Error>>()?;
        let (layers, mut unused) = (blocks.len(), Vec::new());
        let mut entries = Vec::with_capacity(layout.blocks().len());
        for (position, one) in layout.blocks().iter().enumerate() {
            let mut own = blocks[..layers].iter();
            let layer = own.find(|layer| layer.subset.positions().contains(&position));
            let subset = || layout.select_by(|other| other.name() == one.name());
            let treatment = match (layer, found.reason(position)) {
                (Some(layer), _) => layer.treatment.clone(),
                (None, Leftover::Unused) => {
                    unused.push(subset()?);
                    Treatment::Unused
                }
                (None, reason) => {
                    let by_sample = found.has_block(position);
                    let uncovered = Uncovered { reason: reason.to_string(), by_sample };
                    let block = Block::of_parameter(blocks.len(), subset()?, uncovered);
                    let treatment = block.treatment.clone();
                    blocks.push(Arc::new(block));
                    treatment
                }
            };
            let (parameter, elements) = (one.name().into(), one.len());
            entries.push(CoverageEntry { parameter, elements, treatment });
        }
        Ok(Self { blocks, layers, unused, coverage: KfacCoverage { entries, fisher: None } })
    }

    /// Its layers, with the uncovered parameters whose blocks the same pass computes.
    pub fn structure<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        with_blocks: bool,
    ) -> Structure {
        let layers = self.layers().iter().map(|layer| KnownLayer {
            weight: layer.position,
            bias: layer.bias.as_ref().map(|(_, position)| *position),
            is_bag: layer.is_bag,
        });
        let by_sample = |one: &Block| one.uncovered.as_ref().is_some_and(|one| one.by_sample);
        let blocks = self.uncovered().iter().filter(|one| with_blocks && by_sample(one));
        Structure {
            layers: layers.collect(),
            blocks: blocks.map(|one| one.position).collect(),
            names: names(objective),
        }
    }
}

fn treatment(group: &LayerGroup, reduced: Reduced) -> Treatment {
    let layer = match group.kind {
        LayerKind::Linear { .. } => "linear",
        LayerKind::Conv(_) => "convolution",
        LayerKind::Embedding => "embedding",
    };
    Treatment::Kronecker {
        layer: layer.into(),
        input: group.d_in(),
        output: group.d_out(),
        groups: group.kind.groups(),
        uses: group.uses.len(),
        sharing: match reduced {
            Reduced::Nothing => WeightSharing::Expand,
            Reduced::ButEmbeddings if group.is_shared_embedding() => WeightSharing::ExpandByPolicy,
            Reduced::ButEmbeddings | Reduced::Everything => WeightSharing::Reduce,
        },
    }
}

/// Which layers a configuration reduces.
pub(super) fn reduced(config: &KfacConfig) -> Reduced {
    match (config.approximation, config.embeddings) {
        (KfacApproximation::Expand, _) => Reduced::Nothing,
        (KfacApproximation::Reduce, EmbeddingPolicy::Whole { .. }) => Reduced::Everything,
        (KfacApproximation::Reduce, EmbeddingPolicy::Expand) => Reduced::ButEmbeddings,
    }
}

/// Refuses what the theory does not cover, and embeddings that are too large to be reduced.
pub(super) fn check(
    layers: &NetworkLayers,
    layout: &ParamLayout,
    config: &KfacConfig,
    separation: Separation,
) -> Result<(), Error> {
    let reduces = config.approximation == KfacApproximation::Reduce;
    if reduces && separation == Separation::Rows && layers.has_rows_in_samples() {
        let first = layers.layers.first();
        let parameter = first.map(|group| layout.name_at(group.weight)).unwrap_or_default();
        let operation = "`KfacApproximation::Reduce`".into();
        return Err(KfacError::Places { parameter, operation }.into());
    }
    if let Some((parameter, operation)) = mixed(layers, layout) {
        if separation != Separation::OnAverage {
            return Err(KfacError::Places { parameter, operation }.into());
        }
        if reduces {
            return Err(KfacError::Samples { parameter, operation }.into());
        }
    }
    if let Some((0, _)) = config.fisher.drawn() {
        return Err(LikelihoodError::NoDraws.into());
    }
    if let UncoveredPolicy::Diagonal { probes: 0, .. }
    | UncoveredPolicy::ExactWhereCheap { probes: 0, .. } = config.uncovered
    {
        return Err(KfacError::NoProbes.into());
    }
    let EmbeddingPolicy::Whole { limit } = config.embeddings else {
        return Ok(());
    };
    for group in layers.layers.iter().filter(|group| reduces && group.is_shared_embedding()) {
        let rows = group.shape.first().copied().unwrap_or(0);
        if rows > limit {
            let parameter = layout.name_at(group.weight);
            return Err(KfacError::Vocabulary { parameter, rows, limit }.into());
        }
    }
    Ok(())
}

/// The first layer whose rows reach several samples, and the operation in which they do.
pub(super) fn mixed(layers: &NetworkLayers, layout: &ParamLayout) -> Option<(String, String)> {
    let mut groups = layers.layers.iter();
    groups.find_map(|group| Some((layout.name_at(group.weight), group.mixed.clone()?)))
}
