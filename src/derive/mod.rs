//! From the program of a loss to the programs of its derivatives, by Burn's own autodiff. Knows graphs and the
//! recording backend, not models, data or what a product is wanted for.
//!
//! A loss program is replayed on `Autodiff<recording>`, where its backward pass is written down as another program:
//! the gradient. Replayed on `Autodiff<Autodiff<recording>>`, the gradient of ⟨∇ℒ, v⟩ is written down: the
//! Hessian-vector product. Passes then remove what stands there twice or for nothing, write gradients of convolutions as
//! products, and split what depends on v from what does not. The *eager* engine does the same on the tape of a computing
//! backend, anew for every product.

mod error;
mod fold;
mod lower;
mod patches;
mod reverse;

pub use error::DeriveError;

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn_backend::{
    Backend,
    tensor::{Device, FloatTensor},
};
use burn_capture::CaptureBackend;

use crate::{
    error::Error,
    execute::{Operand, panic_message},
    graph::{Graph, Split},
    trace,
};
use reverse::Arguments;

/// The gradient program: inputs as the loss program's, outputs those of the loss program and then ∇ℒ, one value
/// per parameter.
pub(crate) fn gradient(loss: &Graph, parameters: usize) -> Result<Graph, Error> {
    let program = record("gradient", |scope| {
        let inputs = Inputs::declare(scope, loss, parameters);
        let device = scope.device();
        let arguments = inputs.arguments(loss, &device);
        let result = reverse::gradient(&arguments, lower::apply_recorded)?;
        Ok(result
            .outputs
            .into_iter()
            .chain(result.gradient.into_iter().map(Operand::Float))
            .collect())
    })?;
    Ok(tidy(program))
}

/// The program of ∇²ℒ·v, split by what depends on v: `prepare` takes the loss program's inputs, `finish` what it
/// returns and then v, one value per parameter.
pub(crate) fn hessian_vector_product(loss: &Graph, parameters: usize) -> Result<Split, Error> {
    let program = record("Hessian-vector product", |scope| {
        let inputs = Inputs::declare(scope, loss, parameters);
        let types: Vec<_> = loss.inputs[..parameters]
            .iter()
            .map(|&id| loss.value(id).clone())
            .collect();
        let vector: Vec<_> = types
            .iter()
            .filter_map(|ty| float(scope.input(ty)))
            .collect();
        let device = scope.device();
        let arguments = inputs.arguments(loss, &device);
        let product =
            reverse::hessian_vector_product(&arguments, &vector, lower::apply_recorded_twice)?;
        Ok(product.into_iter().map(Operand::Float).collect())
    })?;
    let varying: Vec<usize> = (loss.inputs.len()..program.inputs.len()).collect();
    Ok(split(tidy(program), &varying))
}

/// ∇²ℒ·v computed at once on backend `B`, reverse over reverse on its tape.
pub(crate) fn eager_hessian_vector_product<B: Backend>(
    loss: &Graph,
    device: &Device<B>,
    parameters: &[FloatTensor<B>],
    batch: &[Operand<B>],
    vector: &[FloatTensor<B>],
) -> Result<Vec<FloatTensor<B>>, Error> {
    let arguments = Arguments {
        loss,
        device,
        parameters,
        batch,
    };
    let run = || reverse::hessian_vector_product(&arguments, vector, lower::apply);
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(product) => Ok(product?),
        Err(panic) => Err(DeriveError::Eager {
            message: panic_message(panic.as_ref()),
        }
        .into()),
    }
}

/// Records a derivative; what Burn refuses there is a refusal to differentiate.
fn record(
    derivative: &'static str,
    body: impl FnOnce(&mut trace::Scope) -> Result<Vec<Operand<CaptureBackend>>, Error>,
) -> Result<Graph, Error> {
    trace::record(body).map_err(|error| match error {
        Error::Trace(trace::TraceError::Panicked { message }) => DeriveError::Refused {
            derivative,
            message,
        }
        .into(),
        other => other,
    })
}

/// A loss program's inputs on the recording backend.
struct Inputs {
    parameters: Vec<FloatTensor<CaptureBackend>>,
    batch: Vec<Operand<CaptureBackend>>,
}

impl Inputs {
    fn declare(scope: &mut trace::Scope, loss: &Graph, parameters: usize) -> Self {
        let mut declared = loss.inputs.iter().map(|&id| scope.input(loss.value(id)));
        let parameters = declared
            .by_ref()
            .take(parameters)
            .filter_map(float)
            .collect();
        Self {
            parameters,
            batch: declared.collect(),
        }
    }

    fn arguments<'a>(
        &'a self,
        loss: &'a Graph,
        device: &'a Device<CaptureBackend>,
    ) -> Arguments<'a, CaptureBackend> {
        Arguments {
            loss,
            device,
            parameters: &self.parameters,
            batch: &self.batch,
        }
    }
}

fn float<B: Backend>(operand: Operand<B>) -> Option<FloatTensor<B>> {
    match operand {
        Operand::Float(tensor) => Some(tensor),
        Operand::Int(_) | Operand::Bool(_) => None,
    }
}

fn tidy(program: Graph) -> Graph {
    let program = fold::fold(program.without_dead_code());
    let program = program
        .without_common_subexpressions()
        .with_transposes_inside_products();
    let program = patches::products_of_patches(program);
    program.without_common_subexpressions().without_dead_code()
}

/// A tidy program in two parts, with as little as possible left for what depends on the inputs at the given positions.
///
/// Numbers that are the same everywhere are made again rather than kept, and so are patches where they are many.
fn split(program: Graph, varying: &[usize]) -> Split {
    let program = fold::factors_of_what_is_picked(program, varying);
    let program = fold::fixed_factors_first(program, varying);
    let program = program.without_common_subexpressions().without_dead_code();
    let keeps_patches = patches::may_keep_patches(&program);
    program.split(varying, |node| {
        node.op.is_uniform() || (!keeps_patches && patches::is_patches(node))
    })
}
