//! The second moments of a Kronecker-factored curvature, as one recorded program. Depends on layers and `derive`;
//! independent of objectives.
//!
//! A zero is added to the output of every layer, as a leaf of the tape: its gradient is that of the output. So it is with
//! parameters that are broadcast to the samples, whose gradients by single samples follow. The zeros are folded away
//! afterwards, so that they cost nothing.

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

use diagonal::{Basis, compute_diagonals};
use gather::Passes;
use probe::Probed;
pub(super) use reach::reach;
pub(super) use record::{diagonals, moments};
pub(super) use samples::{Form, KIND as SAMPLES, SideForm, inner_products, quadratic_forms};

use burn_autodiff::Autodiff;
use burn_backend::{
    Backend, Shape,
    tensor::{Device, FloatTensor},
};

use super::layers::{LayerGroup, LayerKind, Separation};
use crate::{
    derive::{Apply, Metric},
    error::Error,
    tensor::Operand,
};
use second_moment::Sum;

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

    /// What its metric needs to be told apart.
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

/// What a program of factors is computed from.
struct Given<'a, B: Backend> {
    pub device: &'a Device<B>,
    pub parameters: &'a [FloatTensor<B>],
    pub batch: &'a [Operand<B>],
    /// What targets are drawn by.
    pub noise: Option<FloatTensor<B>>,
    /// The factor of all second moments of gradients; `None` without gradients.
    pub scale: Option<FloatTensor<B>>,
}

/// The results of a program of factors.
struct Factors<B: Backend> {
    pub loss: FloatTensor<B>,
    pub gradient: Vec<FloatTensor<B>>,
    /// For all layers in order: the mean of ā āᵀ, or its diagonal for an embedding; then the scaled Σ g gᵀ unless there
    /// are no cotangents. Behind them the scaled Σ ∇ ∇ᵀ over the samples, for each block.
    pub moments: Vec<FloatTensor<B>>,
}

/// The factors of all layers and blocks, with the loss and its gradient by the parameters.
fn compute<B: Backend>(
    kind: FactorKind,
    probed: &Probed,
    given: &Given<'_, B>,
    apply: Apply<Autodiff<B>>,
) -> Result<Factors<B>, Error> {
    let mut passes = Passes::forward(probed, given, apply)?;
    let mut moments = Vec::new();
    for (group, xs) in probed.layers.iter().zip(std::mem::take(&mut passes.inputs)) {
        moments.push(vec![inputs::moment::<B>(kind, (probed, group), xs, given)?]);
    }
    moments.extend(probed.blocks.iter().map(|_| Vec::new()));
    let mut sums: Vec<Sum<B>> = moments.iter().map(|_| Sum::default()).collect();
    passes.back(kind, |layers, blocks| {
        let rows = layers.into_iter().chain(blocks);
        rows.zip(&mut sums).for_each(|(rows, sum)| sum.add(rows));
    })?;
    let scaled = |moment| match (kind.metric, &given.scale) {
        (Some(Metric::Empirical), Some(scale)) => {
            let scale = B::float_reshape(scale.clone(), Shape::from(vec![1, 1, 1]));
            B::float_mul(moment, scale)
        }
        _ => moment,
    };
    for (own, sum) in moments.iter_mut().zip(sums) {
        own.extend(sum.finish().map(scaled));
    }
    let moments = moments.into_iter().flatten().collect();
    Ok(Factors { loss: passes.loss, gradient: passes.gradient, moments })
}
