//! Second moments of the inputs and output gradients of a network's layers, over all batches, and over the ranks of a
//! shared objective: symmetric matrices as triangles.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, DType, TensorData, ops::FloatTensorOps};

use super::{
    KfacError,
    block::Network,
    layers::NetworkLayers,
    program::{FactorKind, Notes, Reduced, Results, times},
};
use crate::{
    derive::{Likelihood, Metric},
    error::Error,
    graph::Graph,
    objective::{Call, Contribution, Derivation, Extent, Noise, Objective, Part, Reduction, Sent},
    space::{Inner, InnerFloat, ParamBlock, ParamVector},
    tensor::Operand,
};

/// Which layers and blocks there are: the same on every batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Structure {
    /// Positions of weights and biases.
    pub layers: Vec<(usize, Option<usize>)>,
    /// Positions of parameters whose blocks follow from their gradients by single samples.
    pub blocks: Vec<usize>,
    /// Names of all parameters.
    pub names: Vec<String>,
}

/// A pass that computes moments.
#[derive(Clone, Debug)]
pub(super) struct MomentPass {
    pub kind: FactorKind,
    pub structure: Arc<Structure>,
    pub likelihood: Likelihood,
    pub reduction: Reduction,
    /// Seed of targets that are drawn.
    pub seed: u64,
}

/// A program of the layers of a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LayerProgram {
    pub kind: FactorKind,
    pub structure: Arc<Structure>,
    pub results: Results,
}

impl Derivation for LayerProgram {
    type Notes = Notes;

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, Notes), Error> {
        let found = NetworkLayers::of(loss, parameters, self.kind.separation());
        self.results.record(self.kind, &self.structure.select(found)?, parameters)
    }
}

impl Structure {
    /// The layers and blocks of a batch, in this order.
    pub fn select(&self, mut found: NetworkLayers) -> Result<NetworkLayers, KfacError> {
        let other = |parameter: usize| KfacError::OtherNetwork {
            parameter: self.names.get(parameter).cloned().unwrap_or_default(),
        };
        let layers = self.layers.iter().map(|&(weight, bias)| {
            let mut layers = found.layers.iter();
            let found = layers.find(|layer| (layer.weight, layer.bias) == (weight, bias));
            found.cloned().ok_or_else(|| other(weight))
        });
        let layers = layers.collect::<Result<_, _>>()?;
        let blocks = self.blocks.iter().map(|&parameter| {
            let found = found.blocks.iter().find(|block| block.parameter == parameter);
            found.cloned().ok_or_else(|| other(parameter))
        });
        let blocks = blocks.collect::<Result<_, _>>()?;
        (found.layers, found.blocks) = (layers, blocks);
        Ok(found)
    }
}

/// The layers of the network, by its first batch, and the names of all parameters.
pub(super) fn network_layers<B: AutodiffBackend>(
    objective: &Objective<B>,
    kind: FactorKind,
) -> Result<NetworkLayers, Error> {
    objective.of_first(|part| {
        let parameters = objective.layout().blocks().len();
        Ok(NetworkLayers::of(part.recorded(), parameters, kind.separation()))
    })
}

/// The names of all parameters.
pub(super) fn names<B: AutodiffBackend>(objective: &Objective<B>) -> Vec<String> {
    objective.layout().blocks().iter().map(ParamBlock::name).map(String::from).collect()
}

impl MomentPass {
    /// Runs a program on every batch: the second moments, for each layer the mean of ā āᵀ, `[groups, d_in, d_in]` (its
    /// diagonal for an embedding whose places are not reduced), and the weighted Σ g gᵀ, `[groups, d_out, d_out]`, unless
    /// there are no cotangents, then the blocks; or the weighted diagonals of the layers in bases `[groups, size, size]`.
    /// Reads nothing back but the loss, where it is asked for.
    pub fn run<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        results: Results,
        bases: &[InnerFloat<B>],
    ) -> Result<Collected<B>, Error> {
        let (program, noise) = (self.program(results), self.noise());
        let blocks = objective.parameters().blocks().len();
        // Moments are weighted in the program.
        let is_weighted = program.results != Results::Diagonals;
        let inputs = |part: &Part<B>| {
            if is_weighted {
                return self.scale(objective, part);
            }
            Ok(bases.iter().cloned().map(Operand::Float).collect())
        };
        let mut own = Collected { value: 0.0, gradient: None, means: Means(Vec::new()) };
        let run = objective.pass(&program, noise.as_deref(), inputs, |part, notes, mut found| {
            if program.results == Results::WithGradient {
                let moments = found.split_off(found.len().min(1 + blocks));
                let gradient = std::mem::replace(&mut found, moments);
                objective.add_gradient(part, gradient, (&mut own.value, &mut own.gradient))?;
            }
            own.means.add(&notes.rows, found, if is_weighted { 1.0 } else { self.weight(part) })
        });
        over_ranks(objective, &program, run.map(|()| own))
    }

    /// A pass for the exact blocks of those uncovered parameters for which a pass computes them; `None` if there are
    /// none.
    pub fn of_blocks<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        network: &Network,
    ) -> Result<Option<Self>, Error> {
        let metric = Some(Metric::Exact(self.likelihood.family()));
        let kind = FactorKind { metric, reduced: Reduced::Nothing, ..self.kind };
        let found = network_layers(objective, kind)?;
        let own = network.uncovered().iter().map(|one| one.position);
        let blocks: Vec<usize> = own.filter(|&at| found.has_block(at)).collect();
        if blocks.is_empty() {
            return Ok(None);
        }
        let structure = Structure { layers: Vec::new(), blocks, names: names(objective) };
        Ok(Some(Self { kind, structure: Arc::new(structure), ..self.clone() }))
    }

    /// A program that returns these results.
    pub fn program(&self, results: Results) -> LayerProgram {
        LayerProgram { kind: self.kind, structure: Arc::clone(&self.structure), results }
    }

    /// The factor of the moments of gradients, if there are any.
    fn scale<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        part: &Part<B>,
    ) -> Result<Vec<Operand<B::InnerBackend>>, Error> {
        if self.kind.metric.is_none() {
            return Ok(Vec::new());
        }
        let scale = TensorData::from([self.weight(part)]);
        let scale = scale.convert_dtype(DType::from(objective.precision().dtype()));
        Ok(vec![Operand::from_data(scale, objective.parameters().device())?])
    }

    /// The weight of second moments of gradients on a batch.
    fn weight<B: AutodiffBackend>(&self, part: &Part<B>) -> f64 {
        part.weight * self.factor(self.kind.metric, part)
    }

    /// The factor of second moments of gradients by a metric, besides the batch's weight in the loss.
    pub fn factor<B: AutodiffBackend>(&self, metric: Option<Metric>, part: &Part<B>) -> f64 {
        let share = part.share(self.reduction);
        match metric {
            Some(Metric::Empirical) => share.recip(),
            Some(Metric::Exact(_)) => share * self.likelihood.scale(),
            Some(Metric::Drawn { .. }) | None => share,
        }
    }

    /// The noise for sampled targets, if any are sampled.
    fn noise(&self) -> Option<Box<Noise>> {
        let Some(Metric::Drawn { draws, .. }) = self.kind.metric else {
            return None;
        };
        let (likelihood, seed) = (self.likelihood, self.seed);
        Some(Box::new(move |batch, outputs: &_| Ok(likelihood.noise(outputs, draws, seed, batch)?)))
    }
}

/// The results of a pass, with the loss and gradient if they were asked for.
pub(super) struct Collected<B: AutodiffBackend> {
    pub value: f64,
    pub gradient: Option<ParamVector<B>>,
    pub means: Means<B>,
}

/// Means and sums over the batches so far, with the rows that they are over.
pub(super) struct Means<B: AutodiffBackend>(pub Vec<(Option<InnerFloat<B>>, usize)>);

impl<B: AutodiffBackend> Means<B> {
    /// Adds the result of a batch: a mean over rows, or a sum with a weight.
    fn add(
        &mut self,
        rows: &[Option<usize>],
        found: Vec<Operand<B::InnerBackend>>,
        weight: f64,
    ) -> Result<(), Error> {
        self.0.resize_with(rows.len(), || (None, 0));
        for (((mean, before), rows), term) in self.0.iter_mut().zip(rows).zip(found) {
            let (keep, weight) = match rows {
                None => (1.0, weight),
                Some(rows) => {
                    let share = *before as f64 / (*before + rows).max(1) as f64;
                    *before += rows;
                    (share, 1.0 - share)
                }
            };
            let term = times::<Inner<B>>(term.into_float()?, weight);
            let kept = mean.take().map(|mean| times::<Inner<B>>(mean, keep));
            *mean = kept.into_iter().chain([term]).reduce(Inner::<B>::float_add);
        }
        Ok(())
    }

    pub fn finish(self) -> Vec<InnerFloat<B>> {
        self.0.into_iter().filter_map(|(mean, _)| mean).collect()
    }
}

/// Sums over all ranks, and means weighted by rows; unchanged if the objective is not shared. Collective.
fn over_ranks<B: AutodiffBackend>(
    objective: &Objective<B>,
    program: &LayerProgram,
    own: Result<Collected<B>, Error>,
) -> Result<Collected<B>, Error> {
    if !objective.is_shared() {
        return own;
    }
    let derived = objective.first_derived(program)?;
    let (graph, rows) = (derived.program.graph(), &derived.notes.rows);
    let with_gradient = program.results == Results::WithGradient;
    let parameters = if with_gradient { objective.layout().blocks().len() } else { 0 };
    let mut shapes = graph.outputs().iter().map(|&it| graph.value(it).shape.to_vec());
    let gradient = shapes.by_ref().skip(usize::from(with_gradient)).take(parameters);
    let mut extents: Vec<_> = gradient.map(Extent::Whole).collect();
    extents.extend(shapes.map(|shape| match (&program.results, &shape[..]) {
        // Second moments are symmetric; others are diagonals.
        (Results::Moments | Results::WithGradient, &[groups, size, same]) if size == same => {
            Extent::Symmetric { groups, size }
        }
        _ => Extent::Whole(shape),
    }));
    let sent = || Sent { call: Call::Moments, vectors: &[], numbers: 1 + rows.len(), extents };
    let own = own.map(|own| message(own, rows, parameters));
    let mut found = objective.summed(sent, own)?;
    let moments = found.tensors.split_off(parameters);
    let gradient = found.tensors.into_iter().flatten().collect();
    let gradient =
        with_gradient.then(|| objective.parameters().space().from_blocks(gradient)).transpose()?;
    let means = moments.into_iter().zip(rows).zip(&found.numbers[1..]);
    let means = means.map(|((sum, rows), &over)| match rows {
        Some(_) => (sum.map(|sum| times::<Inner<B>>(sum, 1.0 / over.max(1.0))), over as usize),
        None => (sum, 0),
    });
    Ok(Collected { value: found.numbers[0], gradient, means: Means(means.collect()) })
}

/// One rank's part: the loss and the rows of each mean, then the gradient, then sums.
fn message<B: AutodiffBackend>(
    own: Collected<B>,
    rows: &[Option<usize>],
    parameters: usize,
) -> Contribution<B> {
    let mut numbers = vec![own.value];
    let mut tensors: Vec<_> = match own.gradient {
        Some(gradient) => gradient.into_blocks().into_iter().map(Some).collect(),
        None => vec![None; parameters],
    };
    for ((mean, over), rows) in own.means.0.into_iter().zip(rows) {
        numbers.push(over as f64);
        let factor = if rows.is_some() { over as f64 } else { 1.0 };
        tensors.push(mean.map(|mean| times::<Inner<B>>(mean, factor)));
    }
    numbers.resize(1 + rows.len(), 0.0);
    tensors.resize(parameters + rows.len(), None);
    Contribution { numbers, tensors }
}
