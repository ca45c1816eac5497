//! Second moments of the inputs and output gradients of a network's layers, over all batches.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, DType, TensorData, ops::FloatTensorOps};

use super::{
    KfacError,
    layers::{NetworkLayers, Separation},
    program::{self, FactorKind},
    ranks::over_ranks,
};
use crate::{
    error::Error,
    graph::Graph,
    objective::{Checked, Derivation, Noise, Objective, ObjectiveError, Part, ValueAndGradient},
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

/// How a pass computes moments.
pub(super) struct MomentPass<'a, B: AutodiffBackend> {
    pub kind: FactorKind,
    pub structure: &'a Arc<Structure>,
    /// What moments of gradients are multiplied by, besides the batch's weight in the loss.
    pub factor: &'a dyn Fn(&Part<B>) -> f64,
    /// The noise that targets are drawn by.
    pub noise: Option<&'a Noise>,
}

/// A program of Kronecker factors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FactorProgram {
    kind: FactorKind,
    structure: Arc<Structure>,
    pub results: Results,
}

/// What a program of factors returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Results {
    /// Second moments.
    Moments,
    /// The loss, its gradient, then the moments.
    WithGradient,
    /// Diagonals in bases that are handed in.
    Diagonals,
}

impl Derivation for FactorProgram {
    /// For each moment the number of rows that it is a mean over, or `None` for a sum.
    type Notes = Vec<Option<usize>>;

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, Self::Notes), Error> {
        let kind = self.kind;
        let found = NetworkLayers::of(loss, parameters, kind.separation());
        let network = self.structure.select(found)?;
        if self.results == Results::Diagonals {
            let sums = vec![None; network.layers.len()];
            return Ok((program::diagonals(kind, &network, parameters)?, sums));
        }
        let gradients = usize::from(kind.metric.is_some());
        let of_layer = |group| std::iter::once(Some(kind.rows(group))).chain(vec![None; gradients]);
        let layers = network.layers.iter().flat_map(of_layer);
        let rows = layers.chain(network.blocks.iter().map(|_| None)).collect();
        let with_gradient = self.results == Results::WithGradient;
        Ok((program::moments(kind, with_gradient, &network, parameters)?, rows))
    }
}

/// A program that checks by numbers which rows a sample reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ReachProgram(Separation);

impl Derivation for ReachProgram {
    type Notes = Checked;

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, Checked), Error> {
        let network = NetworkLayers::of(loss, parameters, self.0);
        Ok((program::reach(&network, parameters)?, Checked::new()))
    }
}

/// Checks on the first batch that a cotangent of one sample reaches no rows of others, in layers whose samples are known.
/// One pass forward and one back, once per recording.
pub(super) fn expect_own_rows<B: AutodiffBackend>(
    objective: &Objective<B>,
    network: &NetworkLayers,
    separation: Separation,
) -> Result<(), Error> {
    objective.checked_once(&ReachProgram(separation), |sums| {
        for (layer, sums) in network.layers.iter().zip(sums) {
            let sums: Vec<f64> = sums.into_data()?.iter::<f64>().collect();
            if let Some(parameter) = reaches_others(&sums)
                .then(|| names(objective))
                .and_then(|names| names.into_iter().nth(layer.weight))
            {
                let operation = "an operation found by numbers alone".into();
                return Err(KfacError::Places { parameter, operation }.into());
            }
        }
        Ok(())
    })
}

/// Whether rows of others than the first sample were reached.
pub(super) fn reaches_others(sums: &[f64]) -> bool {
    let own = sums.first().copied().unwrap_or(0.0);
    let others = sums.iter().skip(1).fold(0.0_f64, |most, sum| most.max(*sum));
    others > f64::from(f32::EPSILON) * own
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

    /// This structure with no layers, or with other blocks.
    pub fn of_blocks(&self, blocks: Vec<usize>) -> Self {
        Self { layers: Vec::new(), blocks, names: self.names.clone() }
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

impl<B: AutodiffBackend> MomentPass<'_, B> {
    /// The moments over all batches: for each layer the mean of ā āᵀ, `[groups, d_in, d_in]` (its diagonal for an embedding
    /// whose places are not reduced), and the weighted Σ g gᵀ, `[groups, d_out, d_out]`, unless there are no cotangents;
    /// then the blocks. Reads nothing back.
    pub fn moments(&self, objective: &Objective<B>) -> Result<Vec<InnerFloat<B>>, Error> {
        let mut means = Means::<B>::default();
        let inputs = |part: &Part<B>| self.scale(objective, part);
        let derivation = self.derivation(Results::Moments);
        let own = objective
            .pass(&derivation, self.noise, inputs, |_, rows, found| means.add(rows, found, 1.0));
        let own = own.map(|()| Collected { value: 0.0, gradient: None, means });
        Ok(over_ranks(objective, &derivation, own)?.means.finish())
    }

    /// ℒ(θ), ∇ℒ(θ) and the [`moments`](Self::moments) by one program. Reads the loss only.
    pub fn gradient_and_moments(
        &self,
        objective: &Objective<B>,
    ) -> Result<(ValueAndGradient<B>, Vec<InnerFloat<B>>), Error> {
        let mut means = Means::<B>::default();
        let (mut value, mut gradient): (f64, Option<ParamVector<B>>) = (0.0, None);
        let blocks = objective.parameters().blocks().len();
        let inputs = |part: &Part<B>| self.scale(objective, part);
        let derivation = self.derivation(Results::WithGradient);
        let own = objective.pass(&derivation, self.noise, inputs, |part, rows, mut found| {
            let moments = found.split_off(found.len().min(1 + blocks));
            objective.add_gradient(part, found, (&mut value, &mut gradient))?;
            means.add(rows, moments, 1.0)
        });
        let own = own.map(|()| Collected { value, gradient, means });
        let Collected { value, gradient, means } = over_ranks(objective, &derivation, own)?;
        let gradient = gradient.ok_or(ObjectiveError::NoBatches)?;
        Ok((ValueAndGradient { value, gradient }, means.finish()))
    }

    /// The program of [`gradient_and_moments`](Self::gradient_and_moments).
    #[cfg(test)]
    pub fn program(&self, objective: &Objective<B>) -> Result<Graph, Error> {
        objective.derived_program(&self.derivation(Results::WithGradient))
    }

    /// The weighted diagonals of all layers in order, in bases given as tensors `[groups, size, size]`. Reads nothing back.
    pub fn diagonals(
        &self,
        objective: &Objective<B>,
        bases: &[InnerFloat<B>],
    ) -> Result<Vec<InnerFloat<B>>, Error> {
        let mut sums = Means::<B>::default();
        let derivation = self.derivation(Results::Diagonals);
        let inputs = |_: &Part<B>| Ok(bases.iter().cloned().map(Operand::Float).collect());
        let own = objective.pass(&derivation, self.noise, inputs, |part, rows, found| {
            sums.add(rows, found, part.weight * (self.factor)(part))
        });
        let own = own.map(|()| Collected { value: 0.0, gradient: None, means: sums });
        Ok(over_ranks(objective, &derivation, own)?.means.finish())
    }

    fn derivation(&self, results: Results) -> FactorProgram {
        FactorProgram { kind: self.kind, structure: Arc::clone(self.structure), results }
    }

    /// What the moments of gradients are multiplied by, if there are any.
    fn scale(
        &self,
        objective: &Objective<B>,
        part: &Part<B>,
    ) -> Result<Vec<Operand<B::InnerBackend>>, Error> {
        if self.kind.metric.is_none() {
            return Ok(Vec::new());
        }
        let scale = TensorData::from([part.weight * (self.factor)(part)]);
        let scale = scale.convert_dtype(DType::from(objective.precision().dtype()));
        Ok(vec![Operand::from_data(scale, objective.parameters().device())?])
    }
}

/// What a pass has collected, with the loss and gradient if they were asked for.
pub(super) struct Collected<B: AutodiffBackend> {
    pub value: f64,
    pub gradient: Option<ParamVector<B>>,
    pub means: Means<B>,
}

/// Means and sums over the batches so far, with the rows that they are over.
pub(super) struct Means<B: AutodiffBackend>(pub Vec<(Option<InnerFloat<B>>, usize)>);

impl<B: AutodiffBackend> Default for Means<B> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<B: AutodiffBackend> Means<B> {
    /// Adds what a batch has: a mean over rows, or a sum, which counts by a weight.
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
            let term = times::<B>(term.into_float()?, weight);
            *mean = Some(match mean.take() {
                Some(mean) => Inner::<B>::float_add(times::<B>(mean, keep), term),
                None => term,
            });
        }
        Ok(())
    }

    fn finish(self) -> Vec<InnerFloat<B>> {
        self.0.into_iter().filter_map(|(mean, _)| mean).collect()
    }
}

pub(super) fn times<B: AutodiffBackend>(tensor: InnerFloat<B>, factor: f64) -> InnerFloat<B> {
    if factor == 1.0 { tensor } else { Inner::<B>::float_mul_scalar(tensor, factor.into()) }
}
