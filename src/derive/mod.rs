//! From the program of a loss to the programs of its derivatives, by Burn's own autodiff. Depends on graphs and the
//! recording backend; independent of models, data and the purpose of a product.
//!
//! A loss program is replayed on `Autodiff<recording>`, where its backward pass is recorded as another program:
//! the gradient. Replayed on `Autodiff<Autodiff<recording>>`, the gradient of ⟨∇ℒ, v⟩ is recorded: the
//! Hessian-vector product. Passes then remove duplicate and dead computations, write gradients of convolutions as
//! products, and separate the part that depends on v from the rest. The *eager* engine does the same on the tape of a
//! computing backend, again for every product.

mod backend;
mod error;
mod fewer;
mod fold;
mod head;
mod likelihood;
mod lower;
mod many;
mod metric;
mod network;
mod outputs;
mod patches;
mod product;
mod reverse;
mod sample_axis;
mod terms;
#[cfg(test)]
mod tests;

pub(crate) use backend::Kernels;
pub use backend::ProgramBackend;
pub use error::DeriveError;
pub(crate) use head::{ComparedAt, comparison};
pub(crate) use likelihood::Family;
pub use likelihood::{Likelihood, LikelihoodError};
pub(crate) use lower::apply_recorded;
pub(crate) use many::{Many, Working, many, many_in_front, with_only};
pub(crate) use metric::Metric;
pub(crate) use outputs::{adjoint_product, required};
pub(crate) use product::{Parameters, Product, ProductInputs};
pub(crate) use reverse::{Arguments, gradient as gradient_at};
pub(crate) use sample_axis::{BatchAxes, SampleAxes, SampleAxis};
pub(crate) use terms::{Growth, Terms};

use burn_backend::{
    Backend,
    tensor::{Device, FloatTensor},
};
use burn_capture::CaptureBackend;

use crate::{
    capture::{self, CaptureError},
    error::Error,
    graph::{Graph, Split},
    panics::caught,
    tensor::Operand,
};
use network::Network;
use outputs::Tables;
use product::Target;

/// The gradient program: inputs as the loss program's, outputs those of the loss program and then ∇ℒ, one value
/// per parameter.
pub(crate) fn gradient(loss: &Graph, parameters: usize) -> Result<Graph, Error> {
    let program = record("gradient", |scope| {
        let inputs = Inputs::declare(scope, loss, parameters);
        let device = scope.device();
        let arguments = inputs.arguments(loss, &device);
        let result = reverse::gradient(&arguments, apply_recorded)?;
        Ok(result
            .outputs
            .into_iter()
            .chain(result.gradient.into_iter().map(Operand::Float))
            .collect())
    })?;
    Ok(tidy(program))
}

/// The program of a product with a vector, split by dependence on the vector: `prepare` takes the loss program's
/// inputs and then the noise of [`Metric::Drawn`], `finish` what it returns and then the vector's parts.
pub(crate) fn product(kind: Product, loss: &Graph, parameters: usize) -> Result<Split, Error> {
    let target = Target::new(kind, loss, parameters)?;
    let vector = target.vector_types();
    let program = record(kind.name(), |scope| {
        let inputs = Inputs::declare(scope, loss, parameters);
        let noise = target.noise_type().and_then(|ty| float(scope.input(&ty)));
        let vector: Vec<_> = vector.iter().filter_map(|ty| float(scope.input(ty))).collect();
        let given = ProductInputs {
            device: &scope.device(),
            parameters: &inputs.parameters,
            batch: &inputs.batch,
            noise,
            vector: &vector,
        };
        let tables = Tables { once: apply_recorded, twice: lower::apply_recorded_twice };
        let product = target.compute(given, &tables)?;
        Ok(product.into_iter().map(Operand::Float).collect())
    })?;
    let total = program.inputs.len();
    let varying: Vec<usize> = (total.saturating_sub(vector.len())..total).collect();
    Ok(split(tidy(program), &varying))
}

/// The program of ∂ℓ/∂z at any z: inputs as the loss program's and then z, one output.
pub(crate) fn output_gradient(loss: &Graph, parameters: usize) -> Result<Graph, Error> {
    let network = Network::of(loss, parameters)?;
    let outputs = network.network.outputs().first();
    let outputs = required(outputs.map(|&value| loss.value(value).clone()))?;
    derived("gradient in the outputs", loss, parameters, |scope, inputs| {
        let z = required(float(scope.input(&outputs)))?;
        let device = scope.device();
        let head = Arguments {
            program: &network.head,
            device: &device,
            parameters: &[z],
            batch: &inputs.batch,
        };
        Ok(reverse::gradient(&head, apply_recorded)?.gradient)
    })
}

/// A program derived from that of a loss by `body`, which receives the loss program's inputs and may declare more.
pub(crate) fn derived(
    derivative: &'static str,
    loss: &Graph,
    parameters: usize,
    body: impl FnOnce(&mut capture::Scope, &Inputs) -> Result<Vec<FloatTensor<CaptureBackend>>, Error>,
) -> Result<Graph, Error> {
    let program = record(derivative, |scope| {
        let inputs = Inputs::declare(scope, loss, parameters);
        Ok(body(scope, &inputs)?.into_iter().map(Operand::Float).collect())
    })?;
    Ok(tidy(program))
}

/// A product computed at once on backend `B`, reverse over reverse on its tape.
fn eager_product<B: Backend>(
    kind: Product,
    loss: &Graph,
    inputs: ProductInputs<'_, B>,
) -> Result<Vec<FloatTensor<B>>, Error> {
    let target = Target::new(kind, loss, inputs.parameters.len())?;
    let run = || target.compute(inputs, &product::eager_tables());
    match caught(run) {
        Ok(product) => Ok(product?),
        Err(message) => Err(DeriveError::Eager { message }.into()),
    }
}

/// Records a derivative; a panic of Burn there is a refusal to differentiate.
fn record(
    derivative: &'static str,
    body: impl FnOnce(&mut capture::Scope) -> Result<Vec<Operand<CaptureBackend>>, Error>,
) -> Result<Graph, Error> {
    capture::record(body).map_err(|error| match error.downcast_ref() {
        Some(CaptureError::Panicked { message }) => {
            DeriveError::Refused { derivative, message: message.clone() }.into()
        }
        _ => error,
    })
}

/// A loss program's inputs on the recording backend.
pub(crate) struct Inputs {
    pub parameters: Vec<FloatTensor<CaptureBackend>>,
    pub batch: Vec<Operand<CaptureBackend>>,
}

impl Inputs {
    fn declare(scope: &mut capture::Scope, loss: &Graph, parameters: usize) -> Self {
        let mut declared = loss.inputs.iter().map(|&id| scope.input(loss.value(id)));
        let parameters = declared.by_ref().take(parameters).filter_map(float).collect();
        Self { parameters, batch: declared.collect() }
    }

    fn arguments<'a>(
        &'a self,
        loss: &'a Graph,
        device: &'a Device<CaptureBackend>,
    ) -> Arguments<'a, CaptureBackend> {
        Arguments { program: loss, device, parameters: &self.parameters, batch: &self.batch }
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
    let program = program.without_common_subexpressions().with_transposes_inside_products();
    let program = patches::products_of_patches(program);
    program.without_common_subexpressions().without_dead_code()
}

/// A tidy program in two parts: as little as possible is left for the part that depends on the inputs at the given
/// positions.
///
/// Uniform values are recomputed rather than kept, and so are patches if there are many.
fn split(program: Graph, varying: &[usize]) -> Split {
    let program = fold::factors_of_gathers(program, varying);
    let program = fold::fixed_factors_first(program, varying);
    let program = patches::products_of_fixed_images(program, varying);
    let program = fewer::signs_into_sums(program, varying);
    let program = fewer::reshapes_past_elements(program, varying);
    let program = program.without_common_subexpressions().without_dead_code();
    let keeps_patches = patches::may_keep_patches(&program);
    program.split(varying, |node| {
        node.op.is_uniform() || (!keeps_patches && patches::is_patches(node))
    })
}
