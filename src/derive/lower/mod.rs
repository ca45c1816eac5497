//! The lowerings: operations rewritten so that Burn's autodiff differentiates them twice, exactly. Knows one
//! operation at a time, not the program it stands in.
//!
//! Programs are replayed on `Autodiff<B>` and `Autodiff<Autodiff<B>>`. Some of Burn's rules panic there at the second
//! differentiation (linear, embedding, pools, interpolation, batch norm), some are silently off (max pool in one
//! dimension gives zero, GELU a tanh approximation, division by a literal an f32 reciprocal, products at zeros).
//! [`apply`] computes those operations from primitives whose rules are exact and hands the rest to
//! [`execute`](crate::execute). What cannot be made exact is refused. [`apply_recorded`] and [`apply_recorded_twice`]
//! do the same for programs that are recorded and then [folded](super::fold), in forms that are shortest there.
//!
//! Lower a program *in the precision it will run in*: the lowering of a sigmoid differs between f32 and f64.

mod activation;
mod arithmetic;
mod attention;
mod convolution;
mod ctc;
mod detach;
mod indexing;
mod inputs;
mod jet;
mod linear;
mod normalization;
mod piecewise;
mod pool;
mod primitive;
mod refusal;
mod resample;
mod scan;
mod scatter;
mod softmax;
#[cfg(test)]
mod tests;

use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend};

use crate::{
    execute::ExecuteError,
    graph::{Binary, Cumulative, Kind, Op, Reduction, Unary, ValueType},
    tensor::Operand,
};

use detach::{Detach, detach_once, detach_twice};
use inputs::Inputs;
pub(super) use primitive::bool_dtype;

/// Where an operation is lowered: what it writes, on which device, and how a tensor leaves the tape there.
pub(crate) struct Site<'a, B: Backend> {
    /// Types of the operation's outputs.
    pub outputs: &'a [ValueType],
    /// Device of the operation.
    pub device: &'a B::Device,
    /// Takes a tensor off the tape; see [`Detach`].
    pub detach: Detach<B>,
    /// Whether the program is recorded and its zeros are [folded](crate::derive::fold): forms that are short then, and
    /// undefined at infinities otherwise, may be used.
    pub folds: bool,
}

/// Runs one operation in a form that Burn's autodiff differentiates twice, exactly, on the tape of any backend.
///
/// For the eager engine: nothing is recorded, so nothing is folded.
pub(crate) fn apply<B: Backend>(
    op: &Op,
    inputs: Vec<Operand<B>>,
    outputs: &[ValueType],
    device: &B::Device,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    let detach = detach_once::<B>;
    let folds = false;
    apply_at(op, inputs, &Site { outputs, device, detach, folds })
}

/// [`apply`] for a program that is recorded on one tape and then folded.
pub(crate) fn apply_recorded<B: Backend>(
    op: &Op,
    inputs: Vec<Operand<B>>,
    outputs: &[ValueType],
    device: &B::Device,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    let detach = detach_once::<B>;
    let folds = true;
    apply_at(op, inputs, &Site { outputs, device, detach, folds })
}

/// [`apply`] for a program that is recorded on two tapes, one in the other, and then folded.
pub(crate) fn apply_recorded_twice<A: AutodiffBackend>(
    op: &Op,
    inputs: Vec<Operand<Autodiff<A>>>,
    outputs: &[ValueType],
    device: &A::Device,
) -> Result<Vec<Operand<Autodiff<A>>>, ExecuteError> {
    let detach = detach_twice::<A>;
    let folds = true;
    apply_at(op, inputs, &Site { outputs, device, detach, folds })
}

fn apply_at<B: Backend>(
    op: &Op,
    inputs: Vec<Operand<B>>,
    site: &Site<'_, B>,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    if let Some(reason) = refusal::reason(op) {
        return Err(ExecuteError::NotDifferentiable {
            operation: op.name(),
            reason: reason.into(),
        });
    }
    if site.outputs.first().map(ValueType::kind) != Some(Kind::Float) {
        return crate::execute::apply(op, inputs, site.outputs, site.device);
    }
    let floats = Inputs::new(op, inputs);
    lower(op, floats, site)
}

/// Lowered form of an operation whose first output is float.
fn lower<B: Backend>(
    op: &Op,
    inputs: Inputs<B>,
    site: &Site<'_, B>,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    match op {
        Op::Unary(
            unary @ (Unary::Erf | Unary::Gelu | Unary::Tanh | Unary::Sigmoid | Unary::LogSigmoid),
        ) => activation::smooth(*unary, inputs, site),
        Op::Unary(Unary::Relu)
        | Op::Binary(Binary::ReluBackward)
        | Op::BinaryScalar(Binary::LeakyRelu, _)
        | Op::HardSigmoid { .. }
        | Op::Clamp { .. }
        | Op::MaskFill(_)
        | Op::MaskWhere => piecewise::piecewise(op, inputs, site),
        Op::Binary(Binary::GeluBackward) => activation::gelu_backward(inputs, site),
        Op::Binary(Binary::Div) | Op::BinaryScalar(Binary::Div, _) => {
            arithmetic::divide(op, inputs, site)
        }
        Op::Binary(Binary::Powf) | Op::BinaryScalar(Binary::Powf, _) => {
            arithmetic::power(op, inputs, site)
        }
        Op::Reduce(Reduction::Prod) | Op::ReduceDim(Reduction::Prod, _) => {
            scan::product(op, inputs)
        }
        Op::Cumulative(Cumulative::Prod, dim) => scan::running_product(*dim, inputs),
        Op::Softmax(kind, dim) => softmax::softmax(*kind, *dim, inputs, site),
        Op::Matmul => linear::matmul(inputs),
        Op::Linear { .. } | Op::LinearBackward(_) => linear::linear(op, inputs),
        Op::Embedding
        | Op::EmbeddingBackward
        | Op::Pad { .. }
        | Op::Unfold { .. }
        | Op::Unfold4d { .. } => indexing::indexing(op, inputs, site),
        Op::Scatter(..) | Op::ScatterNd(_) | Op::SelectAssign(..) => {
            scatter::scatter(op, inputs, site)
        }
        Op::BatchNorm { .. } | Op::LayerNorm { .. } => normalization::normalize(op, inputs),
        Op::Conv { .. } | Op::ConvTranspose { .. } => convolution::convolution(op, inputs, site),
        Op::MaxPool { .. } => pool::max_pool(op, inputs, site),
        Op::AvgPool { .. } | Op::AdaptiveAvgPool | Op::Interpolate { .. } => {
            resample::resample(op, inputs, site)
        }
        Op::Attention { .. } => attention::attention(op, inputs, site),
        Op::CtcLoss { blank } => ctc::ctc_loss(*blank, inputs, site),
        _ => native(op, inputs, site),
    }
}

/// The operation as the backend has it.
fn native<B: Backend>(
    op: &Op,
    inputs: Inputs<B>,
    site: &Site<'_, B>,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    crate::execute::apply(op, inputs.into_operands(), site.outputs, site.device)
}
