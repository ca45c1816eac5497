//! Second moments of the inputs and output gradients of a network's layers, over all batches. Knows programs, not what
//! the moments are combined to.

use burn_backend::{AutodiffBackend, Backend, TensorData, ops::FloatTensorOps};

use super::{Objective, Part, products::Directions};
use crate::{
    derive::{Beside, Cotangents, FactorKind, LayerGroup, LayerKind},
    error::Error,
    execute::Operand,
    graph::Graph,
    params::{Inner, InnerFloat},
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
}

/// Sums over all batches for one weight.
#[derive(Clone, Debug, Default)]
pub(crate) struct MomentSums {
    /// Σ a aᵀ group by group, or the diagonal for an embedding.
    pub inputs: Vec<f64>,
    /// Σ a group by group, where there is a bias.
    pub input_sums: Option<Vec<f64>>,
    /// Number of a.
    pub rows: usize,
    /// Weighted Σ g gᵀ group by group.
    pub gradients: Option<Vec<f64>>,
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
                groups: groups.to_vec(),
            })
        })
    }

    /// The moments of all weights in order. `factor` multiplies Σ g gᵀ of a batch beside its weight in the loss.
    pub(crate) fn layer_moments(
        &self,
        kind: FactorKind,
        factor: &dyn Fn(&Part<B>) -> f64,
        directions: Option<&Directions>,
    ) -> Result<Vec<MomentSums>, Error> {
        let mut rows: Vec<usize> = Vec::new();
        let mut run = FactorRun {
            kind,
            factor,
            directions,
            bases: None,
        };
        let numbers = self.factor_sums(&mut run, |graph, groups| {
            rows.resize(groups.len(), 0);
            for (total, group) in rows.iter_mut().zip(groups) {
                *total += group.rows(graph, kind.reduce);
            }
        })?;
        let groups = self.of_first(|part| Ok(part.programs.layers().1.clone()))?;
        Ok(sorted(kind, &groups, numbers, &rows))
    }

    /// The weighted diagonals of all weights in order, in bases given as tensors `[groups, size, size]`.
    pub(crate) fn layer_diagonals(
        &self,
        kind: FactorKind,
        factor: &dyn Fn(&Part<B>) -> f64,
        directions: Option<&Directions>,
        bases: Vec<InnerFloat<B>>,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let mut run = FactorRun {
            kind,
            factor,
            directions,
            bases: Some(bases),
        };
        self.factor_sums(&mut run, |_, _| {})
    }

    /// Runs a program of factors on every batch and adds up its results.
    fn factor_sums(
        &self,
        run: &mut FactorRun<'_, B>,
        mut visit: impl FnMut(&Graph, &[LayerGroup]),
    ) -> Result<Vec<Vec<f64>>, Error> {
        let mut sums: Vec<Option<InnerFloat<B>>> = Vec::new();
        self.for_each_part(|index, part| {
            let groups = &part.programs.layers().1;
            let program = part.programs.factors(run.kind, run.bases.is_some())?;
            let mut inputs = self.inputs(part);
            if let Some(directions) = run.directions {
                inputs.push(self.directions(directions, index, part)?);
            }
            inputs.extend(run.bases.iter().flatten().cloned().map(Operand::Float));
            let found = program.run(inputs)?;
            let weighted = places_of_gradients(run.kind, groups);
            sums.resize(found.len(), None);
            let weight = part.weight * (run.factor)(part);
            for (position, (sum, operand)) in sums.iter_mut().zip(found).enumerate() {
                let by = match run.bases.is_some() || weighted.contains(&position) {
                    true => weight,
                    false => 1.0,
                };
                add::<B>(sum, by, operand.into_float()?);
            }
            visit(part.programs.recorded(), groups);
            Ok(())
        })?;
        let numbers = sums.into_iter().flatten().map(|sum| {
            let data: TensorData = Operand::<Inner<B>>::Float(sum).into_data()?;
            Ok(data.iter::<f64>().collect())
        });
        numbers.collect()
    }
}

/// What a pass for factors goes by.
struct FactorRun<'a, B: AutodiffBackend> {
    kind: FactorKind,
    factor: &'a dyn Fn(&Part<B>) -> f64,
    directions: Option<&'a Directions>,
    bases: Option<Vec<InnerFloat<B>>>,
}

/// Where the outputs of a program are Σ g gᵀ.
fn places_of_gradients(kind: FactorKind, groups: &[LayerGroup]) -> Vec<usize> {
    let mut at = 0;
    let mut places = Vec::new();
    for group in groups {
        at += inputs_of(group);
        if kind.cotangents != Cotangents::None {
            places.push(at);
            at += 1;
        }
    }
    places
}

/// How many results belong to the inputs of a layer.
fn inputs_of(group: &LayerGroup) -> usize {
    match (&group.first.kind, group.first.bias) {
        (LayerKind::Embedding, _) | (_, None) => 1,
        (_, Some(_)) => 2,
    }
}

fn sorted(
    kind: FactorKind,
    groups: &[LayerGroup],
    numbers: Vec<Vec<f64>>,
    rows: &[usize],
) -> Vec<MomentSums> {
    let mut numbers = numbers.into_iter();
    let mut next = || numbers.next().unwrap_or_default();
    let each = groups.iter().zip(rows).map(|(group, &rows)| MomentSums {
        inputs: next(),
        input_sums: (inputs_of(group) == 2).then(&mut next),
        rows,
        gradients: (kind.cotangents != Cotangents::None).then(&mut next),
    });
    each.collect()
}

fn add<B: AutodiffBackend>(sum: &mut Option<InnerFloat<B>>, factor: f64, term: InnerFloat<B>)
where
    Inner<B>: Backend,
{
    let term = match factor == 1.0 {
        true => term,
        false => Inner::<B>::float_mul_scalar(term, factor.into()),
    };
    *sum = Some(match sum.take() {
        Some(sum) => Inner::<B>::float_add(sum, term),
        None => term,
    });
}
