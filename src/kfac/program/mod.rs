//! The second moments of a Kronecker-factored curvature, as one recorded program. Depends on layers and `derive`;
//! independent of objectives.
//!
//! A zero is added to the output of every layer, as a leaf of the tape: its gradient is that of the output. The same is
//! done for parameters that are broadcast to the samples, whose gradients of single samples follow. The zeros are
//! folded away afterwards, so that they cost nothing.

mod blocks;
mod diagonal;
mod gather;
mod inputs;
mod probe;
mod product;
mod reach;
mod record;
mod rows;
mod samples;
mod second_moment;
mod unfold;

pub(super) use reach::reach;
pub(super) use rows::{joined, one_of_many, times};
pub(super) use samples::{Form, KIND as SAMPLES, Score, Selected, SideForm};

use gather::Passes;
use probe::Probed;

use burn_backend::tensor::FloatTensor;
use burn_capture::CaptureBackend;

use super::layers::{LayerGroup, LayerKind, NetworkLayers, Separation};
use crate::{
    derive::{Family, Metric},
    error::Error,
    graph::{Graph, ValueType},
};

/// A tensor of a program that is being recorded.
type Tensor = FloatTensor<CaptureBackend>;

/// What a program of factors computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FactorKind {
    /// The metric in the outputs whose root is propagated back to the layers; `None` for the second moments of the inputs
    /// only.
    pub metric: Option<Metric>,
    pub reduced: Reduced,
    /// Whether the program leaves out half of wide products of a matrix with its transpose, as the executor on host memory does
    /// by itself.
    pub in_panels: bool,
}

impl FactorKind {
    /// Whether the places at which a weight is used are reduced before moments are taken.
    pub fn reduces(self, group: &LayerGroup) -> bool {
        match self.reduced {
            Reduced::Nothing => false,
            Reduced::ButEmbeddings => group.kind != LayerKind::Embedding,
            Reduced::Everything => group.kind != LayerKind::Embedding || group.is_bag,
        }
    }

    /// Whether A is a diagonal.
    pub fn has_diagonal(self, group: &LayerGroup) -> bool {
        group.kind == LayerKind::Embedding && !self.reduces(group)
    }

    /// How often a weight is used in a batch: samples times places, or samples alone if places are reduced.
    pub fn rows(self, group: &LayerGroup) -> usize {
        if self.reduces(group) { group.samples() } else { group.rows }
    }

    /// What its metric needs the gradients to separate.
    pub fn separation(self) -> Separation {
        match self.metric {
            Some(Metric::Exact(_)) => Separation::Rows,
            Some(Metric::Empirical) => Separation::Samples,
            Some(Metric::Drawn { .. }) | None => Separation::OnAverage,
        }
    }
}

/// Which layers have their places reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reduced {
    Nothing,
    ButEmbeddings,
    /// But an embedding that is used at one place of a sample: its A is a diagonal.
    Everything,
}

/// What a program of layers returns. Its inputs are those of the loss program, then the noise of drawn targets, then
/// further ones of the results.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Results {
    /// Second moments.
    Moments,
    /// The loss, its gradient, then the moments, then the squares of products, if any.
    WithGradient(Option<Squares>),
    /// Diagonals in given bases.
    Diagonals,
    /// Scores of samples, one for each layer and block.
    Scores(Vec<Score>),
    /// The gradients of some samples in bases, with the type of the indices of the samples.
    Selected(Vec<Form>, ValueType),
}

/// Σ over probes of (JᵀS r)∘(JᵀS r) for some parameters, S Sᵀ the Fisher matrix of the outputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Squares {
    pub family: Family,
    pub probes: usize,
    /// Positions of the parameters.
    pub parameters: Vec<usize>,
}

/// What else is known of the results.
pub(super) struct Notes {
    /// For each moment the number of rows that it is a mean over, or `None` for a sum. For others the number of samples.
    pub rows: Vec<Option<usize>>,
    /// How the gradients of selected samples are given, for each layer and block.
    pub selected: Vec<Selected>,
}

impl Notes {
    /// The number of samples.
    pub fn count(&self) -> usize {
        self.rows.first().copied().flatten().unwrap_or_default()
    }
}

impl Results {
    /// The program for a network.
    pub fn record(
        &self,
        kind: FactorKind,
        network: &NetworkLayers,
        parameters: usize,
    ) -> Result<(Graph, Notes), Error> {
        let mut selected = Vec::new();
        let graph = record::record(kind, network, parameters, |inputs, passes| match self {
            Self::Moments => record::moments(inputs, passes),
            Self::WithGradient(squares) => {
                let mut moments = record::moments(inputs, passes)?;
                if let Some(squares) = squares {
                    moments.extend(record::squares(inputs, passes, squares)?);
                }
                let gradient = passes.gradient.iter().cloned();
                Ok([passes.loss.clone()].into_iter().chain(gradient).chain(moments).collect())
            }
            Self::Diagonals => diagonal::diagonals(inputs, passes),
            Self::Scores(scores) => samples::scores(inputs, passes, scores),
            Self::Selected(forms, indices) => {
                samples::selected(inputs, passes, (forms, indices), &mut selected)
            }
        })?;
        let sums = |layers: usize| vec![None; layers * usize::from(kind.metric.is_some())];
        let rows = match self {
            Self::Moments | Self::WithGradient(_) => {
                let squares = match self {
                    Self::WithGradient(Some(squares)) => squares.parameters.len(),
                    _ => 0,
                };
                let layers = network.layers.iter();
                let layers = layers.flat_map(|one| [vec![Some(kind.rows(one))], sums(1)].concat());
                layers.chain(vec![None; network.blocks.len() + squares]).collect()
            }
            Self::Diagonals => sums(network.layers.len()),
            Self::Scores(_) => vec![Some(network.samples.count)],
            Self::Selected(_, indices) => vec![Some(indices.shape.num_elements())],
        };
        Ok((graph, Notes { rows, selected }))
    }
}
