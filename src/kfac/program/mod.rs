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

pub(super) use diagonal::diagonals;
pub(super) use reach::reach;
pub(super) use record::moments;
pub(super) use rows::{one_of_many, times};
pub(super) use samples::{
    Form, KIND as SAMPLES, Selected, SideForm, bilinear_forms, inner_products, quadratic_forms,
    selected_gradients,
};

use gather::Passes;
use probe::Probed;

use burn_backend::tensor::FloatTensor;
use burn_capture::CaptureBackend;

use super::layers::{LayerGroup, LayerKind, Separation};
use crate::derive::Metric;

/// A tensor of a program that is being recorded.
type Tensor = FloatTensor<CaptureBackend>;

/// What a program of factors computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FactorKind {
    /// The metric in the outputs whose root is propagated back to the layers; `None` for the second moments of the inputs
    /// only.
    pub metric: Option<Metric>,
    pub reduced: Reduced,
}

impl FactorKind {
    /// Whether the places at which a weight is used are reduced before moments are taken.
    pub fn reduces(self, group: &LayerGroup) -> bool {
        match self.reduced {
            Reduced::Nothing => false,
            Reduced::ButEmbeddings => group.kind != LayerKind::Embedding,
            Reduced::Everything => true,
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
    Everything,
}
