//! The layers of a network, the treatment of every parameter, and the operators assembled from their blocks.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    EmbeddingPolicy, KfacApproximation, KfacConfig, KfacError, KfacFisher, UncoveredPolicy,
    coverage::{CoverageEntry, KfacCoverage, Treatment, WeightSharing},
    layer::Layer,
    layers::Leftover,
    pass::{NetworkLayers, network_layers},
    program::{FactorKind, Reduced},
};
use crate::{
    derive::LikelihoodError,
    error::Error,
    objective::Objective,
    operator::{BlockDiagonal, Kronecker, KroneckerSide, WeightMatrix},
    space::{InnerFloat, ParamBlock, ParamLayout, ParamSpace, ParamSubset},
};

/// The layers of a network, with the parameters left over.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub layers: Vec<Arc<Layer>>,
    pub uncovered: Vec<Uncovered>,
    unused: Vec<ParamSubset>,
    pub coverage: KfacCoverage,
}

/// A parameter that is used, but belongs to no layer.
#[derive(Clone, Debug)]
pub(super) struct Uncovered {
    /// Position in the layout.
    pub position: usize,
    pub subset: ParamSubset,
    /// Why it belongs to no layer.
    pub reason: String,
}

impl Uncovered {
    pub fn name(&self) -> &str {
        self.subset.layout().blocks().first().map_or("", ParamBlock::name)
    }

    pub fn elements(&self) -> usize {
        self.subset.layout().len()
    }
}

/// What one block of the curvature multiplies by.
pub(super) enum BlockProduct<B: AutodiffBackend> {
    /// V ↦ A V G
    Sides(KroneckerSide<B>, KroneckerSide<B>),
    /// V ↦ U (S ∘ (Uᵀ V W)) Wᵀ
    Spectral(KroneckerSide<B>, KroneckerSide<B>, InnerFloat<B>),
}

impl Network {
    pub fn of<B: AutodiffBackend>(
        objective: &Objective<B>,
        kind: FactorKind,
    ) -> Result<Self, Error> {
        let found = network_layers(objective)?;
        let layout = objective.layout();
        let mut layers = Vec::with_capacity(found.groups.len());
        for group in &found.groups {
            let mut layer = Layer::new(group, kind, layout)?;
            layer.treatment = Treatment::Kronecker {
                layer: layer.kind_name().into(),
                input: layer.matrix.rows,
                output: layer.matrix.columns,
                groups: layer.matrix.groups,
                uses: layer.uses,
                sharing: sharing(&layer, kind.reduced, &found),
            };
            layers.push(Arc::new(layer));
        }
        let (mut uncovered, mut unused, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for (position, block) in layout.blocks().iter().enumerate() {
            let layer = layers.iter().find(|layer| layer.subset.positions().contains(&position));
            let treatment = if let Some(layer) = layer {
                layer.treatment.clone()
            } else {
                let subset = layout.select_by(|one| one.name() == block.name())?;
                let mut left = found.leftover.iter();
                match left.find(|(one, _)| *one == position).map(|(_, reason)| reason) {
                    Some(Leftover::Unused) | None => {
                        unused.push(subset);
                        Treatment::Unused
                    }
                    Some(reason) => {
                        let reason = explain(reason);
                        uncovered.push(Uncovered { position, subset, reason: reason.clone() });
                        Treatment::ExactBlock { reason }
                    }
                }
            };
            entries.push(CoverageEntry {
                parameter: block.name().into(),
                elements: block.len(),
                treatment,
            });
        }
        Ok(Self { layers, uncovered, unused, coverage: KfacCoverage { entries } })
    }

    /// The same network with the coverage that a state reports.
    pub fn with_coverage(mut self, coverage: &KfacCoverage) -> Self {
        for layer in &mut self.layers {
            if let Some(treatment) = coverage.of(layer.weight()).cloned() {
                Arc::make_mut(layer).treatment = treatment;
            }
        }
        self.coverage = coverage.clone();
        self
    }

    /// The operator with a product for each layer and then for each uncovered parameter; parameters without one are
    /// multiplied by `rest`.
    pub fn operator<B: AutodiffBackend>(
        &self,
        space: &ParamSpace<B>,
        products: impl IntoIterator<Item = BlockProduct<B>>,
        rest: f64,
    ) -> Result<BlockDiagonal<B, Kronecker<B>>, Error> {
        let layers = self.layers.iter().map(|layer| (&layer.subset, Some(&layer.matrix)));
        let uncovered = self.uncovered.iter().map(|uncovered| (&uncovered.subset, None));
        let unused = self.unused.iter().map(|subset| (subset, None));
        let mut products = products.into_iter();
        let parts = layers.chain(uncovered).chain(unused).map(|(subset, matrix)| {
            let space = space.restricted(subset)?;
            let column = || {
                let shape = subset.layout().blocks().first().map_or(&[][..], ParamBlock::shape);
                WeightMatrix::column(shape)
            };
            let matrix = matrix.map_or_else(column, Clone::clone);
            let product = products.next().unwrap_or_else(|| {
                BlockProduct::Sides(KroneckerSide::Multiple(rest), KroneckerSide::IDENTITY)
            });
            let operator = match product {
                BlockProduct::Sides(left, right) => Kronecker::of_sides(space, matrix, left, right),
                BlockProduct::Spectral(left, right, eigenvalues) => {
                    Kronecker::spectral(space, matrix, (left, right), eigenvalues)
                }
            };
            Ok((subset.clone(), operator))
        });
        BlockDiagonal::new(space, parts.collect::<Result<Vec<_>, Error>>()?)
    }
}

fn sharing(layer: &Layer, reduced: Reduced, layers: &NetworkLayers) -> WeightSharing {
    let shared = layers.shared_embeddings.contains(&layer.weight_position());
    match reduced {
        Reduced::Nothing => WeightSharing::Expand,
        Reduced::ButEmbeddings if shared => WeightSharing::ExpandByPolicy,
        Reduced::ButEmbeddings | Reduced::Everything => WeightSharing::Reduce,
    }
}

/// Which layers a configuration reduces. Reduction changes nothing for embeddings that are used at one place only, and
/// their A is a diagonal.
pub(super) fn reduced(layers: &NetworkLayers, config: &KfacConfig) -> Reduced {
    match (config.approximation, config.embeddings) {
        (KfacApproximation::Expand, _) => Reduced::Nothing,
        (KfacApproximation::Reduce, EmbeddingPolicy::Whole { .. })
            if !layers.shared_embeddings.is_empty() =>
        {
            Reduced::Everything
        }
        (KfacApproximation::Reduce, _) => Reduced::ButEmbeddings,
    }
}

/// Refuses embeddings that are too large to be reduced.
pub(super) fn check_embeddings(
    layers: &NetworkLayers,
    layout: &ParamLayout,
    config: &KfacConfig,
) -> Result<(), KfacError> {
    let (KfacApproximation::Reduce, EmbeddingPolicy::Whole { limit }) =
        (config.approximation, config.embeddings)
    else {
        return Ok(());
    };
    for block in layers.shared_embeddings.iter().filter_map(|at| layout.blocks().get(*at)) {
        let rows = block.shape().first().copied().unwrap_or(0);
        if rows > limit {
            return Err(KfacError::Vocabulary { parameter: block.name().into(), rows, limit });
        }
    }
    Ok(())
}

/// Refuses what the theory does not cover.
pub(super) fn check(layers: &NetworkLayers, config: &KfacConfig) -> Result<(), Error> {
    if config.fisher == KfacFisher::Exact && !layers.rows_are_samples {
        return Err(KfacError::Places.into());
    }
    if config.approximation == KfacApproximation::Reduce && !layers.even_uses {
        return Err(KfacError::UnevenUses.into());
    }
    if let KfacFisher::MonteCarlo { draws: 0, .. } = config.fisher {
        return Err(LikelihoodError::NoDraws.into());
    }
    if let UncoveredPolicy::Diagonal { probes: 0, .. } = config.uncovered {
        return Err(KfacError::NoProbes.into());
    }
    Ok(())
}

fn explain(reason: &Leftover) -> String {
    match reason {
        Leftover::Operation(name) => format!("used by {name}"),
        Leftover::Mixed => "used by layers of different kinds".into(),
        Leftover::Unused => "not used".into(),
    }
}
