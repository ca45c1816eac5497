//! The second moments that a Kronecker-factored curvature is made of, as one recorded program. Knows layers and their
//! products, not what the factors are combined to.
//!
//! A zero is added to the output of every layer, as a leaf of the tape: its gradient is that of the output. The zeros
//! are folded away afterwards, so that they cost nothing.

mod rows;

use std::sync::Arc;

use burn_autodiff::Autodiff;
use burn_backend::{
    Backend, Shape, TensorMetadata,
    tensor::{Device, FloatTensor, IndexingUpdateOp},
};

use super::{
    layers::{Layer, LayerKind},
    outputs::required,
    reverse::{self, Apply, Arguments},
};
use crate::{
    execute::{ExecuteError, Operand},
    graph::{Binary, Graph, Node, Op, ValueId},
};
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
    /// Whether the loss and its gradient are returned, too.
    pub gradient: bool,
}

/// All uses of one weight.
#[derive(Clone, Debug)]
pub(crate) struct LayerGroup {
    /// The first use; the others differ in input and output only.
    pub first: Layer,
    /// All uses.
    pub uses: Vec<(ValueId, ValueId)>,
    /// Shape of the weight.
    pub weight: Vec<usize>,
}

impl LayerGroup {
    /// How often the weight is used in a batch: samples times places, or samples alone where places are reduced.
    pub fn rows(&self, graph: &Graph, reduce: bool) -> usize {
        let shapes = self
            .uses
            .iter()
            .map(|&(_, output)| &graph.value(output).shape);
        match reduce && self.first.kind != LayerKind::Embedding {
            true => self.samples(graph),
            false => {
                shapes.map(|shape| shape.num_elements()).sum::<usize>() / self.width_out().max(1)
            }
        }
    }

    /// Size of the first dimension of the layer's output.
    pub fn samples(&self, graph: &Graph) -> usize {
        let shape = &graph.value(self.first.output).shape;
        match shape.num_dims() {
            0 | 1 => 1,
            _ => shape[0],
        }
    }

    /// Whether all uses have the same number of samples.
    pub fn has_even_uses(&self, graph: &Graph) -> bool {
        let samples = self.samples(graph);
        self.uses.iter().all(|&(_, output)| {
            let shape = &graph.value(output).shape;
            shape.num_dims() < 2 || shape[0] == samples
        })
    }

    /// Number of outputs of the layer.
    pub fn width_out(&self) -> usize {
        let (first, last) = (self.weight.first(), self.weight.last());
        let width = match self.first.kind {
            LayerKind::Linear { transposed: false } | LayerKind::Embedding => last,
            LayerKind::Linear { transposed: true } | LayerKind::Conv(_) => first,
        };
        width.copied().unwrap_or(1)
    }

    /// Number of groups of a convolution, else 1.
    pub fn groups(&self) -> usize {
        match &self.first.kind {
            LayerKind::Conv(conv) => rows::groups(conv),
            _ => 1,
        }
    }

    /// Groups layers by their weights.
    pub fn all(graph: &Graph, layers: &[Layer]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for layer in layers {
            let one_use = (layer.input, layer.output);
            match groups
                .iter_mut()
                .find(|group| group.first.weight == layer.weight)
            {
                Some(group) => group.uses.push(one_use),
                None => groups.push(Self {
                    weight: graph.value(graph.inputs()[layer.weight]).shape.to_vec(),
                    first: layer.clone(),
                    uses: vec![one_use],
                }),
            }
        }
        groups
    }
}

/// A loss program with a probe at the output of every layer.
pub(super) struct Probed {
    /// Inputs: parameters, probes, batch. Outputs: the loss, z, then the inputs of the layers.
    pub program: Graph,
    /// Types of the probes are those of these values.
    pub probed: Vec<ValueId>,
    /// The uses of every weight; inputs and probes stand in this order.
    pub groups: Arc<[LayerGroup]>,
}

impl Probed {
    pub fn new(loss: &Graph, parameters: usize, groups: Arc<[LayerGroup]>) -> Self {
        let uses = groups.iter().flat_map(|group| group.uses.iter().copied());
        let (inputs, probed): (Vec<ValueId>, Vec<ValueId>) = uses.unzip();
        let outputs = loss.outputs().iter().copied().chain(inputs).collect();
        let mut program = loss.returning(outputs);
        let mut own = program.inputs.clone();
        let mut batch = own.split_off(parameters);
        for &value in &probed {
            own.push(add_probe(&mut program, value));
        }
        own.append(&mut batch);
        Self {
            program: program.taking(own),
            probed,
            groups,
        }
    }
}

/// Adds a new value to another, for everybody who reads it, and names the new one.
fn add_probe(program: &mut Graph, value: ValueId) -> ValueId {
    let ty = program.value(value).clone();
    let mut fresh = || {
        program.values.push(ty.clone());
        ValueId::new(program.values.len() - 1)
    };
    let (probe, sum) = (fresh(), fresh());
    let readers = program.nodes.iter_mut().flat_map(|node| &mut node.inputs);
    for reference in readers.chain(&mut program.outputs) {
        if *reference == value {
            *reference = sum;
        }
    }
    let writer = program
        .nodes
        .iter()
        .position(|node| node.outputs.contains(&value));
    let node = Node {
        op: Op::Binary(Binary::Add),
        inputs: vec![value, probe],
        outputs: vec![sum],
    };
    program.nodes.insert(writer.map_or(0, |at| at + 1), node);
    probe
}

/// What a program of factors is computed from.
pub(super) struct Given<'a, B: Backend> {
    pub device: &'a Device<B>,
    pub parameters: &'a [FloatTensor<B>],
    pub batch: &'a [Operand<B>],
    pub directions: Option<FloatTensor<B>>,
}

/// The factors of all groups in order, for each: Σ a aᵀ or, for an embedding, its diagonal; Σ a where there is a bias;
/// Σ g gᵀ unless there are no cotangents. Before them the loss and its gradient, where they are asked for.
pub(super) fn compute<B: Backend>(
    kind: FactorKind,
    probed: &Probed,
    given: Given<'_, B>,
    apply: Apply<Autodiff<B>>,
) -> Result<Vec<FloatTensor<B>>, ExecuteError> {
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
    let loss = required(outputs.next())?.into_float()?;
    let z = required(outputs.next())?.into_float()?;
    let inputs: Vec<Operand<B>> = outputs.collect();
    let mut results = Vec::new();
    if kind.gradient {
        results.push(loss);
        results.extend(whole.gradient[..own].iter().cloned());
    }
    let pulled = match cotangents::<B>(kind.cotangents, &z, given.directions)? {
        None if kind.cotangents == Cotangents::None => Vec::new(),
        None => vec![whole.gradient[own..].to_vec()],
        Some(cotangents) => cotangents
            .into_iter()
            .map(|cotangent| pull_back(&arguments, cotangent, own, apply))
            .collect::<Result<_, _>>()?,
    };
    let mut at = 0;
    for group in probed.groups.iter() {
        let range = at..at + group.uses.len();
        at = range.end;
        results.extend(input_moments::<B>(
            kind,
            group,
            &inputs[range.clone()],
            given.device,
        )?);
        let moments = pulled.iter().map(|gradients| {
            let rows = gradients[range.clone()].iter().cloned();
            let rows = rows.map(|g| Rows::<B>::of_gradient(&group.first.kind, g));
            let rows = required(Rows::joined(rows.collect()))?;
            Ok(match reduces(kind, group) {
                true => rows.over_places(false).second_moment(),
                false => rows.second_moment(),
            })
        });
        let moments: Vec<FloatTensor<B>> = moments.collect::<Result<_, ExecuteError>>()?;
        results.extend(moments.into_iter().reduce(B::float_add));
    }
    Ok(results)
}

/// Embeddings are never reduced: the mean of one-hot inputs has no diagonal second moment.
fn reduces(kind: FactorKind, group: &LayerGroup) -> bool {
    kind.reduce && group.first.kind != LayerKind::Embedding
}

fn input_moments<B: Backend>(
    kind: FactorKind,
    group: &LayerGroup,
    inputs: &[Operand<B>],
    device: &Device<B>,
) -> Result<Vec<FloatTensor<B>>, ExecuteError> {
    if group.first.kind == LayerKind::Embedding {
        let counts = inputs
            .iter()
            .cloned()
            .map(|indices| counts::<B>(indices, group.weight[0], device));
        let counts: Vec<_> = counts.collect::<Result<_, ExecuteError>>()?;
        return Ok(counts
            .into_iter()
            .reduce(B::float_add)
            .into_iter()
            .collect());
    }
    let rows = inputs.iter().cloned().map(|x| {
        Ok(Rows::<B>::of_input(
            &group.first.kind,
            x.into_float()?,
            &group.weight,
        ))
    });
    let rows = required(Rows::joined(rows.collect::<Result<_, ExecuteError>>()?))?;
    let rows = match reduces(kind, group) {
        true => rows.over_places(true),
        false => rows,
    };
    let sum = group.first.bias.map(|_| rows.sum());
    Ok([Some(rows.second_moment()), sum]
        .into_iter()
        .flatten()
        .collect())
}

/// How often each row of an embedding is used.
fn counts<B: Backend>(
    indices: Operand<B>,
    rows: usize,
    device: &Device<B>,
) -> Result<FloatTensor<B>, ExecuteError> {
    let indices = indices.into_int()?;
    let total = indices.shape().num_elements();
    let flat = B::int_reshape(indices, Shape::from(vec![total]));
    let zeros = B::float_zeros(
        Shape::from(vec![rows]),
        device,
        burn_backend::FloatDType::F32,
    );
    let ones = B::float_ones(
        Shape::from(vec![total]),
        device,
        burn_backend::FloatDType::F32,
    );
    Ok(B::float_select_assign(
        zeros,
        0,
        flat,
        ones,
        IndexingUpdateOp::Add,
    ))
}

/// The gradients of ⟨z, u⟩ with respect to the probes.
fn pull_back<B: Backend>(
    arguments: &Arguments<'_, B>,
    cotangent: FloatTensor<B>,
    own: usize,
    apply: Apply<Autodiff<B>>,
) -> Result<Vec<FloatTensor<B>>, ExecuteError> {
    let program = arguments
        .program
        .returning(vec![arguments.program.outputs()[1]]);
    let network = Arguments {
        program: &program,
        ..*arguments
    };
    let mut gradients = super::outputs::adjoint_product(&network, cotangent, apply)?;
    Ok(gradients.split_off(own))
}

/// The cotangents one after another; none where the loss or nothing is propagated back.
fn cotangents<B: Backend>(
    kind: Cotangents,
    z: &FloatTensor<B>,
    directions: Option<FloatTensor<B>>,
) -> Result<Option<Vec<FloatTensor<B>>>, ExecuteError> {
    let columns = z.shape().last().copied().unwrap_or(1);
    let all = match kind {
        Cotangents::Empirical | Cotangents::None => return Ok(None),
        Cotangents::Drawn { draws } => {
            let directions = required(directions)?;
            let one = |draw: usize| {
                let slices = [burn_backend::Slice::from(draw..draw + 1)];
                let slice = B::float_slice(directions.clone(), &slices);
                B::float_reshape(slice, z.shape())
            };
            (0..draws).map(one).collect()
        }
        Cotangents::Categorical => {
            let last = z.shape().num_dims().saturating_sub(1);
            let p = B::softmax(z.clone(), last);
            let root = B::float_sqrt(p.clone());
            (0..columns)
                .map(|column| {
                    let weight = B::float_slice(root.clone(), &column_of(last, column));
                    let unit = unit::<B>(z, column);
                    B::float_mul(B::float_sub(unit, p.clone()), weight)
                })
                .collect()
        }
        Cotangents::Bernoulli => {
            let half = B::float_tanh(B::float_mul_scalar(z.clone(), 0.5.into()));
            let square = B::float_mul(half.clone(), half);
            let variance =
                B::float_mul_scalar(B::float_sub_scalar(square, 1.0.into()), (-0.25).into());
            let deviation = B::float_sqrt(variance);
            (0..columns)
                .map(|column| B::float_mul(unit::<B>(z, column), deviation.clone()))
                .collect()
        }
        Cotangents::Gaussian => (0..columns).map(|column| unit::<B>(z, column)).collect(),
    };
    Ok(Some(all))
}

/// The slices that leave one column.
fn column_of(last: usize, column: usize) -> Vec<burn_backend::Slice> {
    let mut slices = vec![burn_backend::Slice::full(); last];
    slices.push(burn_backend::Slice::from(column..column + 1));
    slices
}

/// Ones in one column, zeros elsewhere.
fn unit<B: Backend>(like: &FloatTensor<B>, column: usize) -> FloatTensor<B> {
    let (shape, device, dtype) = (like.shape(), like.device(), like.dtype());
    let last = shape.num_dims().saturating_sub(1);
    let mut one = shape.to_vec();
    if let Some(size) = one.last_mut() {
        *size = 1;
    }
    let zeros = B::float_zeros(shape, &device, dtype.into());
    let ones = B::float_ones(Shape::from(one), &device, dtype.into());
    B::float_slice_assign(zeros, &column_of(last, column), ones)
}
