//! The layers of a network, the treatment of every parameter, and the operators assembled from their blocks.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    EmbeddingPolicy, KfacApproximation, KfacConfig, KfacError, KfacFisher, UncoveredPolicy,
    coverage::{CoverageEntry, KfacCoverage, Treatment, WeightSharing},
    layer::Layer,
    layers::{LayerGroup, Leftover, NetworkLayers, Separation},
    pass::{Structure, names, network_layers},
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
    /// Whether its gradients by single samples are known.
    pub by_sample: bool,
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
        Self::of_layers(objective, &network_layers(objective, kind)?, kind)
    }

    /// The network with the layers of its first batch.
    pub fn of_layers<B: AutodiffBackend>(
        objective: &Objective<B>,
        found: &NetworkLayers,
        kind: FactorKind,
    ) -> Result<Self, Error> {
        let layout = objective.layout();
        let mut layers = Vec::with_capacity(found.layers.len());
        for group in &found.layers {
            let mut layer = Layer::new(group, kind, layout)?;
            layer.treatment = Treatment::Kronecker {
                layer: layer.kind_name().into(),
                input: layer.matrix.rows,
                output: layer.matrix.columns,
                groups: layer.matrix.groups,
                uses: layer.uses,
                sharing: sharing(group, kind.reduced),
            };
            layers.push(Arc::new(layer));
        }
        let (mut uncovered, mut unused, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for (position, block) in layout.blocks().iter().enumerate() {
            let layer = layers.iter().find(|layer| layer.subset.positions().contains(&position));
            let subset = || layout.select_by(|one| one.name() == block.name());
            let treatment = match (layer, found.reason(position)) {
                (Some(layer), _) => layer.treatment.clone(),
                (None, Leftover::Unused) => {
                    unused.push(subset()?);
                    Treatment::Unused
                }
                (None, reason) => {
                    let (reason, by_sample) = (explain(&reason), found.has_block(position));
                    let subset = subset()?;
                    uncovered.push(Uncovered {
                        position,
                        subset,
                        reason: reason.clone(),
                        by_sample,
                    });
                    Treatment::ExactBlock { reason }
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

    /// Its layers, with the uncovered parameters whose blocks come out of the same pass.
    pub fn structure<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        with_blocks: bool,
    ) -> Structure {
        let layers =
            self.layers.iter().map(|layer| (layer.weight_position(), layer.bias_position()));
        let blocks = self.uncovered.iter().filter(|one| with_blocks && one.by_sample);
        Structure {
            layers: layers.collect(),
            blocks: blocks.map(|one| one.position).collect(),
            names: names(objective),
        }
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

fn sharing(group: &LayerGroup, reduced: Reduced) -> WeightSharing {
    match reduced {
        Reduced::Nothing => WeightSharing::Expand,
        Reduced::ButEmbeddings if group.is_shared_embedding() => WeightSharing::ExpandByPolicy,
        Reduced::ButEmbeddings | Reduced::Everything => WeightSharing::Reduce,
    }
}

/// Which layers a configuration reduces. Reduction changes nothing for embeddings that are used at one place only, and
/// their A is a diagonal.
pub(super) fn reduced(layers: &NetworkLayers, config: &KfacConfig) -> Reduced {
    match (config.approximation, config.embeddings) {
        (KfacApproximation::Expand, _) => Reduced::Nothing,
        (KfacApproximation::Reduce, EmbeddingPolicy::Whole { .. })
            if layers.layers.iter().any(LayerGroup::is_shared_embedding) =>
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
    for group in layers.layers.iter().filter(|group| group.is_shared_embedding()) {
        let rows = group.shape.first().copied().unwrap_or(0);
        if rows > limit {
            let parameter = name(layout, group);
            return Err(KfacError::Vocabulary { parameter, rows, limit });
        }
    }
    Ok(())
}

/// Refuses what the theory does not cover.
pub(super) fn check(
    layers: &NetworkLayers,
    layout: &ParamLayout,
    config: &KfacConfig,
    separation: Separation,
) -> Result<(), Error> {
    let reduces = config.approximation == KfacApproximation::Reduce;
    if reduces && separation == Separation::Rows && layers.has_rows_in_samples() {
        let parameter = layers.layers.first().map(|group| name(layout, group)).unwrap_or_default();
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
    if let KfacFisher::MonteCarlo { draws: 0, .. } = config.fisher {
        return Err(LikelihoodError::NoDraws.into());
    }
    if let UncoveredPolicy::Diagonal { probes: 0, .. } = config.uncovered {
        return Err(KfacError::NoProbes.into());
    }
    Ok(())
}

/// The first layer whose rows reach several samples, and the operation in which they do.
pub(super) fn mixed(layers: &NetworkLayers, layout: &ParamLayout) -> Option<(String, String)> {
    let mut groups = layers.layers.iter();
    groups.find_map(|group| Some((name(layout, group), group.mixed.clone()?)))
}

fn name(layout: &ParamLayout, group: &LayerGroup) -> String {
    layout.blocks().get(group.weight).map_or("", ParamBlock::name).into()
}

fn explain(reason: &Leftover) -> String {
    match reason {
        Leftover::Operation(name) => format!("used by {name}"),
        Leftover::Mixed => "used by layers of different kinds".into(),
        Leftover::Biases => "used as a bias of several layers".into(),
        Leftover::Shared => {
            "used once for all samples, so that their gradients cannot be told apart; looked up again for each \
             sample, as by indices repeated with `repeat_dim`, it is a layer"
                .into()
        }
        Leftover::Places(name) => format!("its rows reach several samples through {name}"),
        Leftover::Beside => "read by the loss beside the outputs".into(),
        Leftover::Unused => "not used".into(),
    }
}
