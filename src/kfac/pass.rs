//! Second moments of the inputs and output gradients of a network's layers, over all batches.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, DType, TensorData, ops::FloatTensorOps};

use super::{
    KfacError,
    layers::{NetworkLayers, Separation},
    program::{self, FactorKind},
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

/// The moments of one weight over all batches, on the device.
#[derive(Clone, Debug)]
pub(super) struct LayerMoments<B: AutodiffBackend> {
    /// The mean of ā āᵀ, `[groups, d_in, d_in]`, or its diagonal for an embedding whose places are not reduced.
    pub inputs: InnerFloat<B>,
    /// Weighted Σ g gᵀ, `[groups, d_out, d_out]`.
    pub gradients: Option<InnerFloat<B>>,
}

/// The moments of all weights, and the blocks, over all batches.
pub(super) type Moments<B> = (Vec<LayerMoments<B>>, Vec<InnerFloat<B>>);

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
    results: Results,
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
    /// How often each weight is used in a batch.
    type Notes = Vec<usize>;

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, Vec<usize>), Error> {
        let kind = self.kind;
        let found = NetworkLayers::of(loss, parameters, kind.separation());
        let network = self.structure.select(found)?;
        let uses = network.layers.iter().map(|group| kind.rows(group)).collect();
        let program = match self.results {
            Results::Diagonals => program::diagonals(kind, &network, parameters)?,
            Results::Moments => program::moments(kind, false, &network, parameters)?,
            Results::WithGradient => program::moments(kind, true, &network, parameters)?,
        };
        Ok((program, uses))
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
    fn select(&self, mut found: NetworkLayers) -> Result<NetworkLayers, KfacError> {
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
    /// The moments in order. Reads nothing back.
    pub fn moments(&self, objective: &Objective<B>) -> Result<Moments<B>, Error> {
        let mut means = Means::default();
        let own = self
            .run(objective, Results::Moments, |_, uses, found| means.add(self.kind, uses, found));
        let own = own.map(|()| Collected { value: 0.0, gradient: None, means });
        Ok(self.over_ranks(objective, Results::Moments, own)?.means.finish())
    }

    /// ℒ(θ), ∇ℒ(θ) and the moments in order by one program. Reads the loss only.
    pub fn gradient_and_moments(
        &self,
        objective: &Objective<B>,
    ) -> Result<(ValueAndGradient<B>, Moments<B>), Error> {
        let mut means = Means::default();
        let (mut value, mut gradient): (f64, Option<ParamVector<B>>) = (0.0, None);
        let own = objective.parameters().blocks().len();
        let collected = self.run(objective, Results::WithGradient, |part, uses, mut found| {
            let moments = found.split_off(found.len().min(1 + own));
            objective.add_gradient(part, found, (&mut value, &mut gradient))?;
            means.add(self.kind, uses, moments)
        });
        let own = collected.map(|()| Collected { value, gradient, means });
        let Collected { value, gradient, means } =
            self.over_ranks(objective, Results::WithGradient, own)?;
        let gradient = gradient.ok_or(ObjectiveError::NoBatches)?;
        Ok((ValueAndGradient { value, gradient }, means.finish()))
    }

    /// The program of [`gradient_and_moments`](Self::gradient_and_moments).
    #[cfg(test)]
    pub fn program(&self, objective: &Objective<B>) -> Result<Graph, Error> {
        objective.derived_program(&self.derivation(Results::WithGradient))
    }

    pub(super) fn derivation(&self, results: Results) -> FactorProgram {
        FactorProgram { kind: self.kind, structure: Arc::clone(self.structure), results }
    }

    /// The weighted diagonals of all weights in order, in bases given as tensors `[groups, size, size]`. Reads nothing
    /// back.
    pub fn diagonals(
        &self,
        objective: &Objective<B>,
        bases: &[InnerFloat<B>],
    ) -> Result<Vec<InnerFloat<B>>, Error> {
        let mut sums: Vec<Option<InnerFloat<B>>> = Vec::new();
        let derivation = self.derivation(Results::Diagonals);
        let inputs = |_: &Part<B>| Ok(bases.iter().cloned().map(Operand::Float).collect());
        let own = objective.pass(&derivation, self.noise, inputs, |part, _, found| {
            sums.resize(found.len(), None);
            let weight = part.weight * (self.factor)(part);
            for (sum, operand) in sums.iter_mut().zip(found) {
                add::<B>(sum, 1.0, operand.into_float()?, weight);
            }
            Ok(())
        });
        self.diagonals_over_ranks(objective, &derivation, own.map(|()| sums))
    }

    /// Runs the program of moments on every batch.
    fn run(
        &self,
        objective: &Objective<B>,
        results: Results,
        work: impl FnMut(&Part<B>, &Vec<usize>, Vec<Operand<B::InnerBackend>>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let inputs = |part: &Part<B>| {
            if self.kind.metric.is_none() {
                return Ok(Vec::new());
            }
            let scale = TensorData::from([part.weight * (self.factor)(part)]);
            let scale = scale.convert_dtype(DType::from(objective.precision().dtype()));
            Ok(vec![Operand::from_data(scale, objective.parameters().device())?])
        };
        objective.pass(&self.derivation(results), self.noise, inputs, work)
    }
}

/// What a pass has collected, with the loss and gradient if they were asked for.
pub(super) struct Collected<B: AutodiffBackend> {
    pub value: f64,
    pub gradient: Option<ParamVector<B>>,
    pub means: Means<B>,
}

/// Means of inputs and sums of gradients over the batches so far.
pub(super) struct Means<B: AutodiffBackend> {
    pub layers: Vec<Mean<B>>,
    pub blocks: Vec<Option<InnerFloat<B>>>,
}

impl<B: AutodiffBackend> Default for Means<B> {
    fn default() -> Self {
        Self { layers: Vec::new(), blocks: Vec::new() }
    }
}

pub(super) struct Mean<B: AutodiffBackend> {
    pub inputs: Option<InnerFloat<B>>,
    /// Uses of the weight so far.
    pub rows: usize,
    pub gradients: Option<InnerFloat<B>>,
}

impl<B: AutodiffBackend> Means<B> {
    /// Adds the moments of a batch, in which each weight has a number of uses.
    fn add(
        &mut self,
        kind: FactorKind,
        uses: &[usize],
        moments: Vec<Operand<B::InnerBackend>>,
    ) -> Result<(), Error> {
        self.layers.resize_with(uses.len(), || Mean { inputs: None, rows: 0, gradients: None });
        let mut moments = moments.into_iter();
        for (mean, uses) in self.layers.iter_mut().zip(uses) {
            let before = mean.rows;
            mean.rows += uses;
            let share = before as f64 / mean.rows.max(1) as f64;
            if let Some(inputs) = moments.next() {
                add::<B>(&mut mean.inputs, share, inputs.into_float()?, 1.0 - share);
            }
            if kind.metric.is_some()
                && let Some(gradients) = moments.next()
            {
                add::<B>(&mut mean.gradients, 1.0, gradients.into_float()?, 1.0);
            }
        }
        self.blocks.resize(moments.len().max(self.blocks.len()), None);
        for (sum, block) in self.blocks.iter_mut().zip(moments) {
            add::<B>(sum, 1.0, block.into_float()?, 1.0);
        }
        Ok(())
    }

    fn finish(self) -> Moments<B> {
        let layers = self.layers.into_iter().filter_map(|mean| {
            Some(LayerMoments { inputs: mean.inputs?, gradients: mean.gradients })
        });
        (layers.collect(), self.blocks.into_iter().flatten().collect())
    }
}

/// `sum ← keep · sum + factor · term`
fn add<B: AutodiffBackend>(
    sum: &mut Option<InnerFloat<B>>,
    keep: f64,
    term: InnerFloat<B>,
    factor: f64,
) {
    let times = |tensor: InnerFloat<B>, factor: f64| {
        if factor == 1.0 { tensor } else { Inner::<B>::float_mul_scalar(tensor, factor.into()) }
    };
    let term = times(term, factor);
    *sum = Some(match sum.take() {
        Some(sum) => Inner::<B>::float_add(times(sum, keep), term),
        None => term,
    });
}
