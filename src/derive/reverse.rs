//! Reverse mode and reverse over reverse on Burn's tape, generic over the backend below the tape: on the recording
//! backend they write programs down, on any other they compute at once.

use std::{cell::RefCell, ops::Range};

use burn_autodiff::Autodiff;
use burn_backend::{
    AutodiffBackend, Backend, TensorMetadata,
    ops::FloatTensorOps,
    tensor::{Device, FloatTensor},
};

use crate::{
    error::Error,
    execute::{self, ExecuteError},
    graph::{Graph, Op, ValueType},
    tensor::Operand,
};

/// A table of operations that Burn's autodiff differentiates exactly on backend `B`.
pub(crate) type Apply<B> =
    fn(&Op, Vec<Operand<B>>, &[ValueType], &Device<B>) -> Result<Vec<Operand<B>>, Error>;

/// The operands of one program on backend `B`: parameters first, then the batch.
pub(crate) struct Arguments<'a, B: Backend> {
    pub program: &'a Graph,
    pub device: &'a Device<B>,
    pub parameters: &'a [FloatTensor<B>],
    pub batch: &'a [Operand<B>],
}

/// A loss with its gradient.
pub(crate) struct Gradient<B: Backend> {
    /// Everything the loss program returns, the loss first.
    pub outputs: Vec<Operand<B>>,
    pub gradient: Vec<FloatTensor<B>>,
}

/// ∇ℒ by one backward pass.
pub(crate) fn gradient<B: Backend>(
    arguments: &Arguments<'_, B>,
    apply: Apply<Autodiff<B>>,
) -> Result<Gradient<B>, Error> {
    let leaves: Vec<_> = arguments.parameters.iter().cloned().map(leaf::<B>).collect();
    let Replayed { outputs, below } = replay_on_tape(arguments, &leaves, apply)?;
    let loss = tracked::<B>(first_float(&outputs)?, &leaves);
    let gradient = gradients_of::<B>(loss, &leaves);
    drop(below);
    Ok(Gradient { outputs: outputs.into_iter().map(unlift).collect(), gradient })
}

/// ∇²ℒ·v, as the gradient of ⟨∇ℒ, v⟩.
pub(super) fn hessian_vector_product<B: Backend>(
    arguments: &Arguments<'_, B>,
    vector: &[FloatTensor<B>],
    apply: Apply<Autodiff<Autodiff<B>>>,
) -> Result<Vec<FloatTensor<B>>, Error> {
    let leaves: Vec<_> = arguments.parameters.iter().cloned().map(leaf::<B>).collect();
    let batch: Vec<_> = arguments.batch.iter().cloned().map(lift::<B>).collect();
    let outer = Arguments::<Autodiff<B>> {
        program: arguments.program,
        device: arguments.device,
        parameters: &leaves,
        batch: &batch,
    };
    let first = gradient(&outer, apply)?.gradient;
    let slope = directional_derivative::<B>(first, vector);
    Ok(gradients_of::<B>(tracked::<B>(slope, &leaves), &leaves))
}

/// The product with the block of ∇²ℒ in the given rows and columns of parameters, as the gradient in the rows of
/// ⟨gradient in the columns, v⟩.
pub(super) fn hessian_block_product<B: Backend>(
    arguments: &Arguments<'_, B>,
    (rows, columns): (Range<usize>, Range<usize>),
    vector: &[FloatTensor<B>],
    apply: Apply<Autodiff<Autodiff<B>>>,
) -> Result<Vec<FloatTensor<B>>, Error> {
    let parameters = arguments.parameters.iter().cloned().enumerate();
    let parameters: Vec<FloatTensor<Autodiff<B>>> =
        parameters
            .map(|(at, tensor)| {
                if rows.contains(&at) {
                    leaf::<B>(tensor)
                } else {
                    Autodiff::<B>::from_inner(tensor)
                }
            })
            .collect();
    // The columns come first, as the parameters of the first derivative; the others are data to it.
    let own = |at: &usize| columns.contains(at);
    let others = (0..parameters.len()).filter(|at| !own(at));
    let order: Vec<usize> = columns.clone().chain(others).collect();
    let inputs = arguments.program.inputs();
    let batch = inputs.iter().skip(parameters.len()).copied();
    let reordered = order.iter().map(|&at| inputs[at]).chain(batch).collect();
    let mut moved = order.iter().map(|&at| parameters[at].clone());
    let first: Vec<_> = moved.by_ref().take(columns.len()).collect();
    let data = moved.map(Operand::Float);
    let data: Vec<_> = data.chain(arguments.batch.iter().cloned().map(lift::<B>)).collect();
    let outer = Arguments::<Autodiff<B>> {
        program: &arguments.program.clone().taking(reordered),
        device: arguments.device,
        parameters: &first,
        batch: &data,
    };
    let slope = directional_derivative::<B>(gradient(&outer, apply)?.gradient, vector);
    let rows = parameters.get(rows).unwrap_or_default();
    Ok(gradients_of::<B>(tracked::<B>(slope, rows), rows))
}

/// Σᵢ ⟨gᵢ, vᵢ⟩ of tracked gradients and constant vectors; `None` if there are no parameters.
pub(super) fn directional_derivative<B: Backend>(
    gradient: Vec<FloatTensor<Autodiff<B>>>,
    vector: &[FloatTensor<B>],
) -> Option<FloatTensor<Autodiff<B>>> {
    gradient
        .into_iter()
        .zip(vector)
        .map(|(g, v)| {
            let v = Autodiff::<B>::from_inner(v.clone());
            Autodiff::<B>::float_sum(Autodiff::<B>::float_mul(g, v))
        })
        .reduce(Autodiff::<B>::float_add)
}

/// What a program returned on a tape.
pub(super) struct Replayed<B: Backend> {
    pub outputs: Vec<Operand<Autodiff<B>>>,
    /// If there is a tape below this one: what it holds of all values of the program, to be dropped after the backward pass
    /// of this one. Burn then looks through the lower tape, once for each of its nodes, for one that is still in use:
    /// without these it looks far, and the time grows with the square of the program's length.
    pub below: Vec<FloatTensor<B>>,
}

pub(super) fn replay_on_tape<B: Backend>(
    arguments: &Arguments<'_, B>,
    leaves: &[FloatTensor<Autodiff<B>>],
    apply: Apply<Autodiff<B>>,
) -> Result<Replayed<B>, Error> {
    let parameters = leaves.iter().cloned().map(Operand::Float);
    let batch = arguments.batch.iter().cloned().map(lift::<B>);
    let inputs = parameters.chain(batch).collect();
    let (program, device) = (arguments.program, arguments.device);
    if !B::ad_enabled(device) {
        let outputs = execute::replay(program, device, inputs, apply)?;
        return Ok(Replayed { outputs, below: Vec::new() });
    }
    let below = RefCell::new(Vec::new());
    let keeping = |op: &Op, inputs: Vec<_>, types: &[ValueType], device: &Device<B>| {
        let results = apply(op, inputs, types, device)?;
        below.borrow_mut().extend(results.iter().filter_map(|result| match result {
            Operand::Float(tensor) => Some(Autodiff::<B>::inner(tensor.clone())),
            _ => None,
        }));
        Ok::<_, Error>(results)
    };
    let outputs = execute::replay(program, device, inputs, keeping)?;
    Ok(Replayed { outputs, below: below.into_inner() })
}

/// `value` on the tape even if it depends on no leaf: plus zero times the smallest of them.
///
/// Burn's backward pass starts only from a tracked tensor; a gradient that is constant has the derivative zero.
pub(super) fn tracked<B: Backend>(
    value: Option<FloatTensor<Autodiff<B>>>,
    leaves: &[FloatTensor<Autodiff<B>>],
) -> Option<FloatTensor<Autodiff<B>>> {
    let value = value?;
    let smallest = leaves.iter().min_by_key(|leaf| leaf.shape().num_elements())?.clone();
    let zero = Autodiff::<B>::float_mul_scalar(Autodiff::<B>::float_sum(smallest), 0.0.into());
    let zero = Autodiff::<B>::float_reshape(zero, value.shape());
    Some(Autodiff::<B>::float_add(value, zero))
}

/// One backward pass from `value`; leaves it does not reach have the gradient zero.
pub(super) fn gradients_of<B: Backend>(
    value: Option<FloatTensor<Autodiff<B>>>,
    leaves: &[FloatTensor<Autodiff<B>>],
) -> Vec<FloatTensor<B>> {
    let gradients = value.map(Autodiff::<B>::backward);
    leaves
        .iter()
        .map(|leaf| {
            let reached =
                gradients.as_ref().and_then(|gradients| Autodiff::<B>::grad(leaf, gradients));
            reached.unwrap_or_else(|| {
                B::float_zeros(leaf.shape(), &leaf.primitive().device(), leaf.dtype().into())
            })
        })
        .collect()
}

pub(super) fn leaf<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<Autodiff<B>> {
    Autodiff::<B>::float_set_require_grad(Autodiff::<B>::from_inner(tensor), true)
}

pub(super) fn lift<B: Backend>(operand: Operand<B>) -> Operand<Autodiff<B>> {
    match operand {
        Operand::Float(tensor) => Operand::Float(Autodiff::<B>::from_inner(tensor)),
        Operand::Int(tensor) => Operand::Int(Autodiff::<B>::int_from_inner(tensor)),
        Operand::Bool(tensor) => Operand::Bool(Autodiff::<B>::bool_from_inner(tensor)),
    }
}

pub(super) fn unlift<B: Backend>(operand: Operand<Autodiff<B>>) -> Operand<B> {
    match operand {
        Operand::Float(tensor) => Operand::Float(Autodiff::<B>::inner(tensor)),
        Operand::Int(tensor) => Operand::Int(Autodiff::<B>::int_inner(tensor)),
        Operand::Bool(tensor) => Operand::Bool(Autodiff::<B>::bool_inner(tensor)),
    }
}

pub(super) fn first_float<B: Backend>(
    outputs: &[Operand<B>],
) -> Result<Option<FloatTensor<B>>, ExecuteError> {
    match outputs.first() {
        Some(Operand::Float(tensor)) => Ok(Some(tensor.clone())),
        Some(other) => Err(ExecuteError::Unsupported {
            operation: "the loss".into(),
            found: format!("{:?}", other.kind()),
            expected: "float".into(),
        }),
        None => Ok(None),
    }
}
