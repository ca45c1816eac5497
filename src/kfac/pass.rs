//! Second moments of the inputs and output gradients of a network's layers, over all batches.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, DType, TensorData, ops::FloatTensorOps};

use super::{
    layers::{LayerGroup, Layers, Leftover},
    program::{self, FactorKind},
};
use crate::{
    error::Error,
    graph::Graph,
    objective::{Derivation, Noise, Objective, ObjectiveError, Part, ValueAndGradient},
    space::{Inner, InnerFloat, ParamVector},
    tensor::Operand,
};

/// The layers of a network as they are laid out in its parameters.
#[derive(Clone, Debug)]
pub(super) struct NetworkLayers {
    pub groups: Vec<LayerGroup>,
    /// Parameters that belong to no layer.
    pub leftover: Vec<(usize, Leftover)>,
    /// Whether every sample of the outputs has its own row in every layer.
    pub rows_are_samples: bool,
    /// Whether all uses of each weight have the same samples.
    pub even_uses: bool,
    /// Embeddings that are used at several places of a sample, by position.
    pub shared_embeddings: Vec<usize>,
}

/// The moments of one weight over all batches, on the device.
#[derive(Clone, Debug)]
pub(super) struct LayerMoments<B: AutodiffBackend> {
    /// The mean of ā āᵀ, `[groups, d_in, d_in]`, or its diagonal for an embedding whose places are not reduced.
    pub inputs: InnerFloat<B>,
    /// Weighted Σ g gᵀ, `[groups, d_out, d_out]`.
    pub gradients: Option<InnerFloat<B>>,
}

/// How a pass computes moments.
pub(super) struct MomentPass<'a, B: AutodiffBackend> {
    pub kind: FactorKind,
    /// What moments of gradients are multiplied by, besides the batch's weight in the loss.
    pub factor: &'a dyn Fn(&Part<B>) -> f64,
    /// The noise that targets are drawn by.
    pub noise: Option<&'a Noise>,
}

/// A program of Kronecker factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FactorProgram {
    kind: FactorKind,
    results: Results,
}

/// What a program of factors returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Results {
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
        let Self { kind, results } = *self;
        let layers = Layers::of(loss, parameters);
        let groups: Arc<[_]> = LayerGroup::all(loss, &layers.layers).into();
        let uses = groups.iter().map(|group| group.rows(loss, kind.reduces(group))).collect();
        let program = match results {
            Results::Diagonals => program::diagonals(kind, loss, parameters, &groups)?,
            Results::Moments | Results::WithGradient => {
                let with_gradient = results == Results::WithGradient;
                program::moments(kind, with_gradient, loss, parameters, &groups)?
            }
        };
        Ok((program, uses))
    }
}

/// The layers of the network, by its first batch.
pub(super) fn network_layers<B: AutodiffBackend>(
    objective: &Objective<B>,
) -> Result<NetworkLayers, Error> {
    objective.of_first(|part| {
        let graph = part.recorded();
        let layers = Layers::of(graph, objective.layout().blocks().len());
        let groups = LayerGroup::all(graph, &layers.layers);
        let outputs = &part.outputs_type()?.shape;
        let samples = outputs.iter().next().copied().unwrap_or(1);
        let shared = groups.iter().filter(|group| group.is_shared_embedding(graph));
        Ok(NetworkLayers {
            leftover: layers.leftover,
            rows_are_samples: outputs.num_dims() <= 2
                && groups.iter().all(|group| group.samples(graph) == samples),
            even_uses: groups.iter().all(|group| group.has_even_uses(graph)),
            shared_embeddings: shared.map(|group| group.first.weight).collect(),
            groups,
        })
    })
}

impl<B: AutodiffBackend> MomentPass<'_, B> {
    /// The moments of all weights in order. Reads nothing back.
    pub fn moments(&self, objective: &Objective<B>) -> Result<Vec<LayerMoments<B>>, Error> {
        let mut means = Means::default();
        self.run(objective, Results::Moments, |_, uses, found| means.add(self.kind, uses, found))?;
        Ok(means.finish())
    }

    /// ℒ(θ), ∇ℒ(θ) and the moments of all weights in order by one program. Reads the loss only.
    pub fn gradient_and_moments(
        &self,
        objective: &Objective<B>,
    ) -> Result<(ValueAndGradient<B>, Vec<LayerMoments<B>>), Error> {
        let mut means = Means::default();
        let (mut value, mut gradient): (f64, Option<ParamVector<B>>) = (0.0, None);
        let own = objective.parameters().blocks().len();
        self.run(objective, Results::WithGradient, |part, uses, mut found| {
            let moments = found.split_off(found.len().min(1 + own));
            objective.add_gradient(part, found, (&mut value, &mut gradient))?;
            means.add(self.kind, uses, moments)
        })?;
        let gradient = gradient.ok_or(ObjectiveError::NoBatches)?;
        Ok((ValueAndGradient { value, gradient }, means.finish()))
    }

    /// The program of [`gradient_and_moments`](Self::gradient_and_moments).
    #[cfg(test)]
    pub fn program(&self, objective: &Objective<B>) -> Result<Graph, Error> {
        let derivation = FactorProgram { kind: self.kind, results: Results::WithGradient };
        objective.derived_program(&derivation)
    }

    /// The weighted diagonals of all weights in order, in bases given as tensors `[groups, size, size]`. Reads nothing
    /// back.
    pub fn diagonals(
        &self,
        objective: &Objective<B>,
        bases: &[InnerFloat<B>],
    ) -> Result<Vec<InnerFloat<B>>, Error> {
        let mut sums: Vec<Option<InnerFloat<B>>> = Vec::new();
        let derivation = FactorProgram { kind: self.kind, results: Results::Diagonals };
        let inputs = |_: &Part<B>| Ok(bases.iter().cloned().map(Operand::Float).collect());
        objective.pass(&derivation, self.noise, inputs, |part, _, found| {
            sums.resize(found.len(), None);
            let weight = part.weight * (self.factor)(part);
            for (sum, operand) in sums.iter_mut().zip(found) {
                add::<B>(sum, 1.0, operand.into_float()?, weight);
            }
            Ok(())
        })?;
        Ok(sums.into_iter().flatten().collect())
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
        objective.pass(&FactorProgram { kind: self.kind, results }, self.noise, inputs, work)
    }
}

/// Means of inputs and sums of gradients over the batches so far.
struct Means<B: AutodiffBackend> {
    layers: Vec<Mean<B>>,
}

impl<B: AutodiffBackend> Default for Means<B> {
    fn default() -> Self {
        Self { layers: Vec::new() }
    }
}

struct Mean<B: AutodiffBackend> {
    inputs: Option<InnerFloat<B>>,
    /// Uses of the weight so far.
    rows: usize,
    gradients: Option<InnerFloat<B>>,
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
        Ok(())
    }

    fn finish(self) -> Vec<LayerMoments<B>> {
        let layers = self.layers.into_iter().filter_map(|mean| {
            Some(LayerMoments { inputs: mean.inputs?, gradients: mean.gradients })
        });
        layers.collect()
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
