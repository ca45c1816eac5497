//! Second moments of the inputs and output gradients of a network's layers, over all batches. Knows programs, not what
//! the moments are combined to.

use burn_backend::{AutodiffBackend, DType, TensorData, ops::FloatTensorOps};

use super::{
    Objective, ObjectiveError, Part, ValueAndGradient, finite_loss,
    products::{Noise, accumulate},
    programs::FactorResults,
};
use crate::{
    derive::{Beside, FactorKind, LayerGroup},
    error::Error,
    space::{Inner, InnerFloat, ParamVector},
    tensor::Operand,
};

/// The layers of a network as they are laid out in its parameters.
#[derive(Clone, Debug)]
pub(crate) struct NetworkLayers {
    pub groups: Vec<LayerGroup>,
    /// Parameters that belong to no layer.
    pub beside: Vec<(usize, Beside)>,
    /// Whether every sample of the outputs has its own row in every layer.
    pub rows_are_samples: bool,
    /// Whether all uses of each weight have the same samples.
    pub even_uses: bool,
    /// Embeddings that are used at several places of a sample, by position.
    pub shared_embeddings: Vec<usize>,
}

/// The moments of one weight over all batches, on the device.
#[derive(Clone, Debug)]
pub(crate) struct LayerMoments<B: AutodiffBackend> {
    /// The mean of ā āᵀ, `[groups, d_in, d_in]`, or its diagonal for an embedding whose places are not reduced.
    pub inputs: InnerFloat<B>,
    /// Weighted Σ g gᵀ, `[groups, d_out, d_out]`.
    pub gradients: Option<InnerFloat<B>>,
}

/// What a pass for moments goes by.
pub(crate) struct MomentPass<'a, B: AutodiffBackend> {
    pub kind: FactorKind,
    /// What moments of gradients are multiplied by, beside the batch's weight in the loss.
    pub factor: &'a dyn Fn(&Part<B>) -> f64,
    /// What targets are drawn by.
    pub noise: Option<&'a Noise>,
}

impl<B: AutodiffBackend> Objective<B> {
    /// The layers of the network, by its first batch.
    pub(crate) fn network_layers(&self) -> Result<NetworkLayers, Error> {
        self.of_first(|part| {
            let (layers, groups) = part.programs.layers();
            let graph = part.programs.recorded();
            let outputs = &part.programs.outputs_type()?.shape;
            let samples = outputs.iter().next().copied().unwrap_or(1);
            Ok(NetworkLayers {
                beside: layers.beside.clone(),
                rows_are_samples: outputs.num_dims() <= 2
                    && groups.iter().all(|group| group.samples(graph) == samples),
                even_uses: groups.iter().all(|group| group.has_even_uses(graph)),
                shared_embeddings: groups
                    .iter()
                    .filter(|group| group.is_shared_embedding(graph))
                    .map(|group| group.first.weight)
                    .collect(),
                groups: groups.to_vec(),
            })
        })
    }

    /// The moments of all weights in order. Reads nothing back.
    pub(crate) fn layer_moments(
        &self,
        pass: &MomentPass<'_, B>,
    ) -> Result<Vec<LayerMoments<B>>, Error> {
        let mut means = Means::default();
        self.for_each_part(|index, part| {
            let found = self.run_factors(pass, FactorResults::Moments, index, part)?;
            means.add(pass.kind, part, found)
        })?;
        Ok(means.finish())
    }

    /// ℒ(θ), ∇ℒ(θ) and the moments of all weights in order by one program. Reads the loss only.
    pub(crate) fn gradient_and_moments(
        &self,
        pass: &MomentPass<'_, B>,
    ) -> Result<(ValueAndGradient<B>, Vec<LayerMoments<B>>), Error> {
        let mut means = Means::default();
        let (mut value, mut gradient): (f64, Option<ParamVector<B>>) = (0.0, None);
        self.for_each_part(|index, part| {
            let mut found = self.run_factors(pass, FactorResults::WithGradient, index, part)?;
            let moments = found.split_off(found.len().min(1 + self.parameters.blocks().len()));
            let blocks = found.split_off(found.len().min(1));
            value += part.weight * finite_loss::<B>(found.first())?;
            accumulate(&mut gradient, part.weight, self.vector(blocks)?)?;
            means.add(pass.kind, part, moments)
        })?;
        let gradient = gradient.ok_or(ObjectiveError::NoBatches)?;
        Ok((ValueAndGradient { value, gradient }, means.finish()))
    }

    /// The program of [`gradient_and_moments`](Self::gradient_and_moments).
    #[cfg(test)]
    pub(crate) fn gradient_and_moments_program(
        &self,
        kind: FactorKind,
    ) -> Result<crate::graph::Graph, Error> {
        self.of_first(|part| {
            let program = part.programs.factors(kind, FactorResults::WithGradient)?;
            Ok(program.graph().clone())
        })
    }

    /// The weighted diagonals of all weights in order, in bases given as tensors `[groups, size, size]`. Reads nothing back.
    pub(crate) fn layer_diagonals(
        &self,
        pass: &MomentPass<'_, B>,
        bases: &[InnerFloat<B>],
    ) -> Result<Vec<InnerFloat<B>>, Error> {
        let mut sums: Vec<Option<InnerFloat<B>>> = Vec::new();
        self.for_each_part(|index, part| {
            let mut inputs = self.inputs(part)?;
            if let Some(noise) = pass.noise {
                inputs.push(self.noise(noise, index, part)?);
            }
            inputs.extend(bases.iter().cloned().map(Operand::Float));
            let program = part.programs.factors(pass.kind, FactorResults::Diagonals)?;
            let found = program.run(inputs)?;
            sums.resize(found.len(), None);
            let weight = part.weight * (pass.factor)(part);
            for (sum, operand) in sums.iter_mut().zip(found) {
                add::<B>(sum, 1.0, operand.into_float()?, weight);
            }
            Ok(())
        })?;
        Ok(sums.into_iter().flatten().collect())
    }

    fn run_factors(
        &self,
        pass: &MomentPass<'_, B>,
        results: FactorResults,
        index: usize,
        part: &Part<B>,
    ) -> Result<Vec<Operand<B::InnerBackend>>, Error> {
        let mut inputs = self.inputs(part)?;
        if let Some(noise) = pass.noise {
            inputs.push(self.noise(noise, index, part)?);
        }
        if pass.kind.metric.is_some() {
            let scale = TensorData::from([part.weight * (pass.factor)(part)]);
            let scale = scale.convert_dtype(DType::from(self.precision().dtype()));
            inputs.push(Operand::from_data(scale, part.programs.device())?);
        }
        Ok(part.programs.factors(pass.kind, results)?.run(inputs)?)
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
    fn add(
        &mut self,
        kind: FactorKind,
        part: &Part<B>,
        moments: Vec<Operand<B::InnerBackend>>,
    ) -> Result<(), Error> {
        let groups = &part.programs.layers().1;
        self.layers.resize_with(groups.len(), || Mean { inputs: None, rows: 0, gradients: None });
        let mut moments = moments.into_iter();
        for (mean, group) in self.layers.iter_mut().zip(groups.iter()) {
            let before = mean.rows;
            mean.rows += group.rows(part.programs.recorded(), kind);
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
    let times = |tensor: InnerFloat<B>, factor: f64| match factor == 1.0 {
        true => tensor,
        false => Inner::<B>::float_mul_scalar(tensor, factor.into()),
    };
    let term = times(term, factor);
    *sum = Some(match sum.take() {
        Some(sum) => Inner::<B>::float_add(times(sum, keep), term),
        None => term,
    });
}
