//! The second moments that a Kronecker-factored curvature is made of, as one recorded program. Knows layers and their
//! products, not what the factors are combined to.
//!
//! A zero is added to the output of every layer, as a leaf of the tape: its gradient is that of the output. The zeros
//! are folded away afterwards, so that they cost nothing.

mod cotangents;
mod diagonal;
mod group;
mod probe;
mod rows;

pub(super) use diagonal::{Basis, compute_diagonals};
pub(crate) use group::LayerGroup;
pub(super) use probe::Probed;

use burn_autodiff::Autodiff;
use burn_backend::{
    Backend, FloatDType, Shape, TensorMetadata,
    tensor::{Device, FloatTensor, IndexingUpdateOp, IntTensor},
};

use super::{
    layers::LayerKind,
    outputs::{adjoint_product, required},
    reverse::{self, Apply, Arguments},
};
use crate::execute::{ExecuteError, Operand};
use cotangents::cotangents;
use rows::Rows;

/// What is propagated back from the outputs z to the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cotangents {
    /// The derivative of the loss by z, with the targets of the data.
    Empirical,
    /// So many derivatives handed in, stacked in front of z.
    Drawn {
        /// Their number.
        draws: usize,
    },
    /// The columns of a square root of diag(p) − p pᵀ, p = softmax(z).
    Categorical,
    /// Those of diag(σ(1 − σ)).
    Bernoulli,
    /// Those of I.
    Gaussian,
    /// Nothing: the second moments of the inputs only.
    None,
}

/// What a program of factors computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FactorKind {
    pub cotangents: Cotangents,
    /// Whether the places at which a weight is used are reduced before moments are taken.
    pub reduce: bool,
}

/// What a program of factors is computed from.
pub(super) struct Given<'a, B: Backend> {
    pub device: &'a Device<B>,
    pub parameters: &'a [FloatTensor<B>],
    pub batch: &'a [Operand<B>],
    pub directions: Option<FloatTensor<B>>,
}

/// What the layers of a program see.
struct Gathered<B: Backend> {
    /// Inputs of every use, group by group.
    inputs: Vec<Vec<Operand<B>>>,
    /// Gradients of the outputs, joined over the uses, for every cotangent; group by group.
    gradients: Vec<Vec<Rows<B>>>,
}

/// The factors of all groups in order, for each: Σ a aᵀ or, for an embedding, its diagonal; Σ a where there is a bias;
/// Σ g gᵀ unless there are no cotangents.
pub(super) fn compute<B: Backend>(
    kind: FactorKind,
    probed: &Probed,
    given: Given<'_, B>,
    apply: Apply<Autodiff<B>>,
) -> Result<Vec<FloatTensor<B>>, ExecuteError> {
    let device = given.device;
    let gathered = gather(kind, probed, given, apply)?;
    let mut results = Vec::new();
    let groups = probed.groups.iter().zip(gathered.inputs);
    for ((group, inputs), gradients) in groups.zip(gathered.gradients) {
        results.extend(input_moments::<B>(kind, group, inputs, device)?);
        let moments = gradients.into_iter().map(|rows| rows.second_moment());
        results.extend(moments.reduce(B::float_add));
    }
    Ok(results)
}

/// One pass forward, and one back for every cotangent.
fn gather<B: Backend>(
    kind: FactorKind,
    probed: &Probed,
    given: Given<'_, B>,
    apply: Apply<Autodiff<B>>,
) -> Result<Gathered<B>, ExecuteError> {
    let zeros = probed.probed.iter().map(|&value| {
        let ty = probed.program.value(value);
        B::float_zeros(ty.shape.clone(), given.device, ty.dtype.into())
    });
    let parameters: Vec<_> = given.parameters.iter().cloned().chain(zeros).collect();
    let arguments = Arguments {
        program: &probed.program,
        device: given.device,
        parameters: &parameters,
        batch: given.batch,
    };
    let own = given.parameters.len();
    let whole = reverse::gradient(&arguments, apply)?;
    let mut outputs = whole.outputs.into_iter();
    required(outputs.next())?; // the loss
    let z = required(outputs.next())?.into_float()?;
    let mut gradient = whole.gradient;
    let of_loss = gradient.split_off(own);
    let pulled = match cotangents::<B>(kind.cotangents, &z, given.directions)? {
        None if kind.cotangents == Cotangents::None => Vec::new(),
        None => vec![of_loss],
        Some(cotangents) => cotangents
            .into_iter()
            .map(|cotangent| pull_back(&arguments, cotangent, own, apply))
            .collect::<Result<_, _>>()?,
    };
    let mut gathered = Gathered {
        inputs: Vec::new(),
        gradients: Vec::new(),
    };
    let mut at = 0;
    for group in probed.groups.iter() {
        let range = at..at + group.uses.len();
        at = range.end;
        gathered
            .inputs
            .push(outputs.by_ref().take(range.len()).collect());
        let of_group = pulled.iter().map(|gradients| {
            let uses = gradients.get(range.clone()).unwrap_or_default();
            let rows = uses.iter().cloned();
            let rows = rows.map(|g| Rows::of_gradient(&group.first.kind, g));
            let rows = required(Rows::joined(rows.collect()))?;
            Ok(match reduces(kind, group) {
                true => rows.over_places(false),
                false => rows,
            })
        });
        let of_group = of_group.collect::<Result<_, ExecuteError>>()?;
        gathered.gradients.push(of_group);
    }
    Ok(gathered)
}

/// Embeddings are never reduced: the mean of one-hot inputs has no diagonal second moment.
fn reduces(kind: FactorKind, group: &LayerGroup) -> bool {
    kind.reduce && group.first.kind != LayerKind::Embedding
}

fn input_moments<B: Backend>(
    kind: FactorKind,
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
    device: &Device<B>,
) -> Result<Vec<FloatTensor<B>>, ExecuteError> {
    if group.first.kind == LayerKind::Embedding {
        let counts = inputs.into_iter().map(|indices| {
            let flat = flat_indices::<B>(indices)?;
            Ok(counts::<B>(flat, group.weight[0], device))
        });
        let counts: Vec<_> = counts.collect::<Result<_, ExecuteError>>()?;
        return Ok(counts
            .into_iter()
            .reduce(B::float_add)
            .into_iter()
            .collect());
    }
    let rows = input_rows(kind, group, inputs)?;
    let sum = group.first.bias.map(|_| rows.sum());
    Ok([Some(rows.second_moment()), sum]
        .into_iter()
        .flatten()
        .collect())
}

/// The inputs of all uses of a weight that is multiplied.
fn input_rows<B: Backend>(
    kind: FactorKind,
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
) -> Result<Rows<B>, ExecuteError> {
    let rows = inputs.into_iter().map(|x| {
        let x = x.into_float()?;
        Ok(Rows::of_input(&group.first.kind, x, &group.weight))
    });
    let rows = required(Rows::joined(rows.collect::<Result<_, ExecuteError>>()?))?;
    Ok(match reduces(kind, group) {
        true => rows.over_places(true),
        false => rows,
    })
}

fn flat_indices<B: Backend>(indices: Operand<B>) -> Result<IntTensor<B>, ExecuteError> {
    let indices = indices.into_int()?;
    let total = indices.shape().num_elements();
    Ok(B::int_reshape(indices, Shape::from(vec![total])))
}

/// How often each row of an embedding is used.
fn counts<B: Backend>(indices: IntTensor<B>, rows: usize, device: &Device<B>) -> FloatTensor<B> {
    let shape = |size: usize| Shape::from(vec![size]);
    let total = indices.shape().num_elements();
    let zeros = B::float_zeros(shape(rows), device, FloatDType::F32);
    let ones = B::float_ones(shape(total), device, FloatDType::F32);
    B::float_select_assign(zeros, 0, indices, ones, IndexingUpdateOp::Add)
}

/// The gradients of ⟨z, u⟩ with respect to the probes.
fn pull_back<B: Backend>(
    arguments: &Arguments<'_, B>,
    cotangent: FloatTensor<B>,
    own: usize,
    apply: Apply<Autodiff<B>>,
) -> Result<Vec<FloatTensor<B>>, ExecuteError> {
    let outputs = arguments.program.outputs().get(1).copied();
    let program = arguments.program.returning(outputs.into_iter().collect());
    let network = Arguments {
        program: &program,
        ..*arguments
    };
    let mut gradients = adjoint_product(&network, cotangent, apply)?;
    Ok(gradients.split_off(own))
}
