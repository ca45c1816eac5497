//! The second moments of a Kronecker-factored curvature, as one recorded program. Depends on layers and `derive`;
//! independent of objectives.
//!
//! A zero is added to the output of every layer, as a leaf of the tape: its gradient is that of the output. The zeros
//! are folded away afterwards, so that they cost nothing.

mod cotangents;
mod diagonal;
mod gather;
mod inputs;
mod probe;
mod product;
mod record;
mod rows;
mod unfold;

use diagonal::{Basis, compute_diagonals};
use probe::Probed;
pub(super) use record::{diagonals, moments};

use burn_autodiff::Autodiff;
use burn_backend::{
    Backend, Shape,
    tensor::{Device, FloatTensor},
};

use super::layers::{LayerGroup, LayerKind};
use crate::{
    derive::{Apply, Metric},
    error::Error,
    tensor::Operand,
};
use product::Symmetric;
use rows::Rows;

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
            Reduced::ButEmbeddings => group.first.kind != LayerKind::Embedding,
            Reduced::Everything => true,
        }
    }

    /// Whether A is a diagonal.
    pub fn has_diagonal(self, group: &LayerGroup) -> bool {
        group.first.kind == LayerKind::Embedding && !self.reduces(group)
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
    /// For all groups in order: the mean of ā āᵀ, or its diagonal for an embedding; then the scaled Σ g gᵀ unless there
    /// are no cotangents.
    pub moments: Vec<FloatTensor<B>>,
}

/// Largest number of gradient elements that are collected for one product.
const MOST_HELD: usize = 1 << 24;

/// The factors of all groups, with the loss and its gradient by the parameters.
fn compute<B: Backend>(
    kind: FactorKind,
    probed: &Probed,
    given: &Given<'_, B>,
    apply: Apply<Autodiff<B>>,
) -> Result<Factors<B>, Error> {
    let mut forward = gather::forward(probed, given, apply)?;
    let mut sums: Vec<Sum<B>> = probed.groups.iter().map(|_| Sum::default()).collect();
    gather::backward(kind, probed, given, &mut forward, apply, |group, rows| {
        if let Some(sum) = sums.get_mut(group) {
            sum.add(rows);
        }
    })?;
    let mut moments = Vec::new();
    for ((group, inputs), sum) in probed.groups.iter().zip(forward.inputs).zip(sums) {
        moments.push(inputs::moment::<B>(kind, group, inputs, given)?);
        let moment = sum.finish();
        moments.extend(match (kind.metric, &given.scale) {
            (Some(Metric::Empirical), Some(scale)) => moment.map(|moment| {
                let scale = B::float_reshape(scale.clone(), Shape::from(vec![1, 1, 1]));
                B::float_mul(moment, scale)
            }),
            _ => moment,
        });
    }
    Ok(Factors { loss: forward.loss, gradient: forward.gradient, moments })
}

/// Σ over rows of row·rowᵀ, many rows at a time.
struct Sum<B: Backend> {
    held: Vec<Rows<B>>,
    numbers: usize,
    sum: Option<Symmetric<B>>,
}

impl<B: Backend> Default for Sum<B> {
    fn default() -> Self {
        Self { held: Vec::new(), numbers: 0, sum: None }
    }
}

impl<B: Backend> Sum<B> {
    /// Rows that are many are added at once, so that their memory serves for the next ones; few ones are held until
    /// there are more.
    fn add(&mut self, rows: Rows<B>) {
        if rows.are_many() {
            return self.include(&rows);
        }
        let numbers = rows.sizes().iter().product::<usize>();
        if self.numbers + numbers > MOST_HELD {
            self.reduce();
        }
        self.numbers += numbers;
        self.held.push(rows);
    }

    fn include(&mut self, rows: &Rows<B>) {
        let moment = rows.outer(1.0);
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum.add(moment),
            None => moment,
        });
    }

    fn reduce(&mut self) {
        self.numbers = 0;
        if let Some(rows) = Rows::stacked(std::mem::take(&mut self.held)) {
            self.include(&rows);
        }
    }

    fn finish(mut self) -> Option<FloatTensor<B>> {
        self.reduce();
        self.sum.map(Symmetric::finish)
    }
}
