//! Second moments of the inputs and output gradients of a network's layers, over all batches.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, DType, TensorData, ops::FloatTensorOps};

use super::{
    KfacError,
    layers::NetworkLayers,
    program::{FactorKind, Notes, Results, times},
    ranks::over_ranks,
};
use crate::{
    derive::{Likelihood, Metric},
    error::Error,
    graph::Graph,
    objective::{Derivation, Noise, Objective, Part, Reduction},
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
        let layer = |&(weight, bias): &(usize, Option<usize>)| {
            let mut layers = found.layers.iter();
            let found = layers.find(|layer| (layer.weight, layer.bias) == (weight, bias));
            found.cloned().ok_or_else(|| other(weight))
        };
        let layers = self.layers.iter().map(layer).collect::<Result<_, _>>()?;
        let block = |&parameter: &usize| {
            let found = found.blocks.iter().find(|block| block.parameter == parameter);
            found.cloned().ok_or_else(|| other(parameter))
        };
        let blocks = self.blocks.iter().map(block).collect::<Result<_, _>>()?;
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
            *mean = Some(match mean.take() {
                Some(mean) => Inner::<B>::float_add(times::<Inner<B>>(mean, keep), term),
                None => term,
            });
        }
        Ok(())
    }

    pub fn finish(self) -> Vec<InnerFloat<B>> {
        self.0.into_iter().filter_map(|(mean, _)| mean).collect()
    }
}
