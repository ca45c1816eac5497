//! Second moments of the inputs and output gradients of a network's layers, over all batches: symmetric matrices.

use std::{cell::Cell, sync::Arc};

use burn_backend::{AutodiffBackend, DType, TensorData};

use super::{
    KfacError,
    block::Network,
    layers::{LayerGroup, NetworkLayers, Separation},
    moments::{Collected, Means, over_ranks},
    program::{FactorKind, Notes, Reduced, Results},
    uncovered::scaled_signs,
};
use crate::{
    derive::{Likelihood, Metric},
    error::Error,
    graph::Graph,
    objective::{Derivation, Noise, Objective, Part, Reduction},
    seeds::Seeds,
    space::{InnerFloat, ParamBlock},
    tensor::Operand,
};

/// Which layers and blocks there are: the same on every batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Structure {
    pub layers: Vec<KnownLayer>,
    /// Positions of parameters whose blocks follow from their gradients by single samples.
    pub blocks: Vec<usize>,
    /// Names of all parameters.
    pub names: Vec<String>,
}

/// A layer by the positions of its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KnownLayer {
    pub weight: usize,
    pub bias: Option<usize>,
    /// Whether it is an embedding that is used at several places of a sample of the first batch.
    pub is_bag: bool,
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

/// What a program is given besides the scale of its moments.
pub(super) enum Given<'a, B: AutodiffBackend> {
    Nothing,
    /// Bases for diagonals, in place of the scale.
    Bases(&'a [InnerFloat<B>]),
    /// Random signs for squares, by this seed.
    Signs(u64),
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
        let network = self.structure.select(found)?;
        self.expect_separate(&network)?;
        self.results.record(self.kind, &network, parameters)
    }
}

impl LayerProgram {
    /// Refuses layers whose rows this batch mixes. The first batch has been checked, but need not show it: in a batch of
    /// one sample none are mixed, and in samples of one place nothing is reduced.
    fn expect_separate(&self, network: &NetworkLayers) -> Result<(), KfacError> {
        let is_other = |layer: &&LayerGroup| layer.is_shared_embedding() && !layer.is_bag;
        let other = network.layers.iter().find(is_other);
        if let Some(other) = other.filter(|_| self.kind.reduced == Reduced::Everything) {
            return Err(KfacError::OtherNetwork { parameter: self.structure.name(other.weight) });
        }
        let mut layers = network.layers.iter();
        let mixed = layers.find_map(|layer| Some((layer.weight, layer.mixed.clone()?)));
        let Some((weight, operation)) = mixed else { return Ok(()) };
        let parameter = self.structure.name(weight);
        if self.kind.separation() != Separation::OnAverage {
            return Err(KfacError::Places { parameter, operation });
        }
        if self.kind.reduced != Reduced::Nothing || self.results == Results::Diagonals {
            return Err(KfacError::Samples { parameter, operation });
        }
        Ok(())
    }
}

impl Structure {
    /// The layers and blocks of a batch, in this order.
    pub fn select(&self, mut found: NetworkLayers) -> Result<NetworkLayers, KfacError> {
        let other = |at: usize| KfacError::OtherNetwork { parameter: self.name(at) };
        let layers = self.layers.iter().map(|&KnownLayer { weight, bias, is_bag }| {
            let mut layers = found.layers.iter();
            let found = layers.find(|layer| (layer.weight, layer.bias) == (weight, bias));
            let found = found.ok_or_else(|| other(weight))?;
            Ok(LayerGroup { is_bag, ..found.clone() })
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

    /// The name of a parameter.
    fn name(&self, parameter: usize) -> String {
        self.names.get(parameter).cloned().unwrap_or_default()
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
    /// there are no cotangents, then the blocks and the squares that are asked for; or the weighted diagonals of the layers in
    /// bases `[groups, size, size]`.
    /// Reads nothing back but the loss, where it is asked for.
    pub fn run<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        results: Results,
        given: Given<'_, B>,
    ) -> Result<Collected<B>, Error> {
        let (program, noise) = (self.program(results), self.noise());
        let blocks = objective.parameters().blocks().len();
        // Moments are weighted in the program.
        let is_weighted = program.results != Results::Diagonals;
        let batches = Cell::new(0);
        let inputs = |part: &Part<B>| {
            if let Given::Bases(bases) = &given {
                return Ok(bases.iter().cloned().map(Operand::Float).collect());
            }
            let mut inputs = self.scale(objective, part)?;
            if let (Given::Signs(seed), Results::WithGradient(Some(squares))) =
                (&given, &program.results)
            {
                let weight = part.weight * self.factor(Some(Metric::Exact(squares.family)), part);
                let index = batches.replace(batches.get() + 1);
                let own = (squares.probes, Seeds::at(*seed, objective.number_of(index) as u64));
                inputs.push(Operand::Float(scaled_signs(objective, part, own, weight)?));
            }
            Ok(inputs)
        };
        let mut own = Collected { value: 0.0, gradient: None, means: Means(Vec::new()) };
        let run = objective.pass(&program, noise.as_deref(), inputs, |part, notes, mut found| {
            if matches!(program.results, Results::WithGradient(_)) {
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
