//! The lowerings: operations rewritten so that Burn's autodiff differentiates them twice, exactly, one operation at a
//! time.
//!
//! Programs are replayed on `Autodiff<B>` and `Autodiff<Autodiff<B>>`. Some of Burn's rules panic there at the second
//! differentiation (linear, embedding, pools, interpolation, batch norm), some are silently off (max pool in one
//! dimension gives zero, GELU a tanh approximation, division by a literal an f32 reciprocal, products at zeros).
//! The [table](crate::graph::Op::class) of operations says which; [`apply`] computes those from primitives whose
//! rules are exact and leaves the rest to [`execute`](crate::execute). What cannot be made exact is refused. [`apply_recorded`] and [`apply_recorded_twice`]
//! do the same for programs that are recorded and then [folded](super::fold), in forms that are shortest there.
//!
//! Lower a program *in the precision it will run in*: the lowering of a sigmoid differs between f32 and f64.

mod activation;
mod arithmetic;
mod attention;
mod convolution;
mod ctc;
mod detach;
mod grouped;
mod indexing;
mod inputs;
mod jet;
mod linear;
mod normalization;
mod piecewise;
mod pool;
mod primitive;
mod reciprocal;
mod resample;
mod rows;
mod scan;
mod scatter;
mod softmax;
#[cfg(test)]
mod tests;

use burn_autodiff::Autodiff;
use burn_backend::{AutodiffBackend, Backend};

use crate::{
    derive::DeriveError,
    error::Error,
    graph::{Class, Kind, Lowering, Op, ValueType},
    tensor::Operand,
};

use detach::{Detach, detach_once, detach_twice};
use grouped::{Convolve, convolve, convolve_on_tape};
use inputs::Inputs;
pub(super) use primitive::bool_dtype;
use reciprocal::{Reciprocal, reciprocal, reciprocal_on_tape};
use rows::{OfRows, of_rows, of_rows_twice};

/// The context in which an operation is lowered: types of its outputs, device, and how a tensor leaves the tape.
pub(crate) struct Context<'a, B: Backend> {
    /// Types of the operation's outputs.
    pub outputs: &'a [ValueType],
    /// Device of the operation.
    pub device: &'a B::Device,
    /// Takes a tensor off the tape; see [`Detach`].
    pub detach: Detach<B>,
    /// Runs a convolution in groups.
    pub convolve: Convolve<B>,
    /// Computes reciprocals.
    pub reciprocal: Reciprocal<B>,
    /// Whether the program is recorded and its zeros are [folded](crate::derive::fold): forms that are short then, and
    /// undefined at infinities otherwise, may be used.
    pub folds: bool,
    /// Applies a function of rows in a form that is short where `folds` is true; undefined at infinities otherwise.
    pub of_rows: OfRows<B>,
}

impl<'a, B: Backend> Context<'a, B> {
    /// For at most one tape.
    fn once(outputs: &'a [ValueType], device: &'a B::Device, folds: bool) -> Self {
        let (detach, convolve, reciprocal) = (detach_once::<B>, convolve::<B>, reciprocal::<B>);
        Self { outputs, device, detach, convolve, reciprocal, folds, of_rows: of_rows::<B> }
    }
}

impl<'a, A: AutodiffBackend> Context<'a, Autodiff<A>> {
    /// For two tapes.
    fn twice(outputs: &'a [ValueType], device: &'a A::Device, folds: bool) -> Self {
        let (detach, convolve) = (detach_twice::<A>, convolve_on_tape::<A>);
        let reciprocal = reciprocal_on_tape::<A>;
        Self { outputs, device, detach, convolve, reciprocal, folds, of_rows: of_rows_twice::<A> }
    }
}

/// Runs one operation in a form that Burn's autodiff differentiates twice, exactly, on the tape of any backend.
///
/// For the eager engine: nothing is recorded, so nothing is folded.
pub(crate) fn apply<B: Backend>(
    op: &Op,
    inputs: Vec<Operand<B>>,
    outputs: &[ValueType],
    device: &B::Device,
) -> Result<Vec<Operand<B>>, Error> {
    apply_in(op, inputs, &Context::once(outputs, device, false))
}

/// [`apply`] on two tapes, one in the other.
pub(crate) fn apply_twice<A: AutodiffBackend>(
    op: &Op,
    inputs: Vec<Operand<Autodiff<A>>>,
    outputs: &[ValueType],
    device: &A::Device,
) -> Result<Vec<Operand<Autodiff<A>>>, Error> {
    apply_in(op, inputs, &Context::twice(outputs, device, false))
}

/// [`apply`] for a program that is recorded on one tape and then folded.
pub(crate) fn apply_recorded<B: Backend>(
    op: &Op,
    inputs: Vec<Operand<B>>,
    outputs: &[ValueType],
    device: &B::Device,
) -> Result<Vec<Operand<B>>, Error> {
    apply_in(op, inputs, &Context::once(outputs, device, true))
}

/// [`apply`] for a program that is recorded on two tapes, one in the other, and then folded.
pub(crate) fn apply_recorded_twice<A: AutodiffBackend>(
    op: &Op,
    inputs: Vec<Operand<Autodiff<A>>>,
    outputs: &[ValueType],
    device: &A::Device,
) -> Result<Vec<Operand<Autodiff<A>>>, Error> {
    apply_in(op, inputs, &Context::twice(outputs, device, true))
}

fn apply_in<B: Backend>(
    op: &Op,
    inputs: Vec<Operand<B>>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    let class = op.class();
    if let Class::Refused(reason) = class {
        return Err(
            DeriveError::NotDifferentiable { operation: op.name(), reason: reason.into() }.into()
        );
    }
    if context.outputs.first().map(ValueType::kind) != Some(Kind::Float) {
        return Ok(crate::execute::apply(op, inputs, context.outputs, context.device)?);
    }
    match class {
        // A constant to both derivatives: off all tapes.
        Class::Constant if *op == Op::StopGradient => {
            let stopped = (context.detach)(Inputs::new(op, inputs).float()?);
            Ok(vec![Operand::Float(stopped)])
        }
        Class::Lowered(lowering) => lower(lowering, op, Inputs::new(op, inputs), context),
        Class::Native | Class::Constant | Class::Refused(_) => {
            Ok(crate::execute::apply(op, inputs, context.outputs, context.device)?)
        }
    }
}

/// Lowered form of an operation whose first output is float.
fn lower<B: Backend>(
    lowering: Lowering,
    op: &Op,
    mut inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    match lowering {
        Lowering::Smooth(function) => activation::smooth(function, inputs, context),
        Lowering::GeluBackward => activation::gelu_backward(inputs, context),
        Lowering::Piecewise => piecewise::piecewise(op, inputs, context),
        Lowering::Divide => arithmetic::divide(op, inputs, context),
        Lowering::Reciprocal => Ok(vec![Operand::Float((context.reciprocal)(inputs.float()?))]),
        Lowering::Cross { dim } => arithmetic::cross(dim, inputs, context),
        Lowering::Power => arithmetic::power(op, inputs, context),
        Lowering::Product => scan::product(op, inputs),
        Lowering::RunningProduct { dim } => scan::running_product(dim, inputs),
        Lowering::Softmax(kind, dim) => softmax::softmax(kind, dim, inputs, context),
        Lowering::Matmul => linear::matmul(inputs),
        Lowering::Linear => linear::linear(op, inputs),
        Lowering::Indexing => indexing::indexing(op, inputs, context),
        Lowering::Scatter => scatter::scatter(op, inputs, context),
        Lowering::Normalization => normalization::normalize(op, inputs, context),
        Lowering::Convolution => convolution::convolution(op, inputs, context),
        Lowering::MaxPool => pool::max_pool(op, inputs, context),
        Lowering::Resample => resample::resample(op, inputs, context),
        Lowering::Attention => attention::attention(op, inputs, context),
        Lowering::CtcLoss { blank } => ctc::ctc_loss(blank, inputs, context),
    }
}

/// The operation as the backend has it.
fn native<B: Backend>(
    op: &Op,
    inputs: Inputs<B>,
    context: &Context<'_, B>,
) -> Result<Vec<Operand<B>>, Error> {
    Ok(crate::execute::apply(op, inputs.into_operands(), context.outputs, context.device)?)
}
