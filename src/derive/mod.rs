//! From the program of a loss to the programs of its derivatives, by Burn's own autodiff. Knows graphs and the
//! recording backend, not models, data or what a product is wanted for.
//!
//! A loss program is replayed on `Autodiff<recording>`, where its backward pass is written down as another program:
//! the gradient. Replayed on `Autodiff<Autodiff<recording>>`, the gradient of ⟨∇ℒ, v⟩ is written down: the
//! Hessian-vector product. Passes then remove what stands there twice or for nothing, write gradients of convolutions as
//! products, and split what depends on v from what does not. The *eager* engine does the same on the tape of a computing
//! backend, anew for every product.

mod draw;
mod error;
mod factors;
mod fold;
mod layers;
mod lower;
mod network;
mod outputs;
mod patches;
mod product;
mod reverse;

pub(crate) use draw::{Distribution, Draws};
pub use error::DeriveError;
pub(crate) use factors::{Cotangents, FactorKind, LayerGroup, Reduced};
pub(crate) use layers::{Beside, LayerKind, Layers};
pub(crate) use product::{Given, Product, Root};

use std::sync::Arc;

use burn_backend::{
    Backend,
    tensor::{Device, FloatTensor},
};
use burn_capture::CaptureBackend;

use crate::{
    capture::{self, CaptureError},
    error::Error,
    execute::ExecuteError,
    graph::{Graph, Split, ValueType},
    panics::caught,
    tensor::Operand,
};
use outputs::Tables;
use product::Target;
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

/// The program of a product with a vector, split by what depends on the vector: `prepare` takes the loss program's
/// inputs and then the noise of [`Product::Drawn`], `finish` what it returns and then the vector's parts.
pub(crate) fn product(kind: Product, loss: &Graph, parameters: usize) -> Result<Split, Error> {
    let target = Target::new(kind, loss, parameters)?;
    let vector = target.vector_types();
    let program = record(kind.name(), |scope| {
        let inputs = Inputs::declare(scope, loss, parameters);
        let noise = target.noise_type().and_then(|ty| float(scope.input(&ty)));
        let vector: Vec<_> = vector.iter().filter_map(|ty| float(scope.input(ty))).collect();
        let given = Given {
            device: &scope.device(),
            parameters: &inputs.parameters,
            batch: &inputs.batch,
            noise,
            vector: &vector,
        };
        let tables = Tables { once: lower::apply_recorded, twice: lower::apply_recorded_twice };
        let product = target.compute(given, &tables)?;
        Ok(product.into_iter().map(Operand::Float).collect())
    })?;
    let total = program.inputs.len();
    let varying: Vec<usize> = (total.saturating_sub(vector.len())..total).collect();
    Ok(split(tidy(program), &varying))
}

/// The program of Kronecker factors: inputs as the loss program's, then the noise of [`Cotangents::Drawn`], then the
/// scale of the gradients' moments unless there are none; outputs the loss and its gradient where `with_gradient` asks
/// for them, then the moments of [`factors::Factors`].
pub(crate) fn kronecker_factors(
    kind: FactorKind,
    with_gradient: bool,
    loss: &Graph,
    parameters: usize,
    groups: &Arc<[LayerGroup]>,
) -> Result<Graph, Error> {
    let probed = factors::Probed::new(loss, parameters, Arc::clone(groups));
    record_factors(kind, loss, parameters, |scope, mut given| {
        if kind.cotangents != Cotangents::None {
            given.scale =
                float(scope.input(&ValueType { shape: vec![1].into(), dtype: float_type(loss) }));
        }
        let factors = factors::compute(kind, &probed, &given, lower::apply_recorded)?;
        Ok(match with_gradient {
            true => std::iter::once(factors.loss)
                .chain(factors.gradient)
                .chain(factors.moments)
                .collect(),
            false => factors.moments,
        })
    })
}

/// The program of the diagonals in given bases: inputs as the loss program's, then the noise of [`Cotangents::Drawn`],
/// then the bases, left where there is one and right, layer by layer; outputs as [`factors::compute_diagonals`] says.
pub(crate) fn kronecker_diagonals(
    kind: FactorKind,
    loss: &Graph,
    parameters: usize,
    groups: &Arc<[LayerGroup]>,
) -> Result<Graph, Error> {
    let probed = factors::Probed::new(loss, parameters, Arc::clone(groups));
    let dtype = float_type(loss);
    record_factors(kind, loss, parameters, |scope, given| {
        let mut matrix = |group: &LayerGroup, size: usize| {
            let shape = vec![group.groups(), size, size].into();
            float(scope.input(&ValueType { shape, dtype }))
        };
        let bases = groups.iter().filter_map(|group| {
            let left = match kind.has_diagonal(group) {
                true => None,
                false => Some(matrix(group, group.d_in())?),
            };
            let right = matrix(group, group.width_out() / group.groups().max(1))?;
            Some(factors::Basis { left, right })
        });
        let bases: Vec<_> = bases.collect();
        factors::compute_diagonals(kind, &probed, &given, &bases, lower::apply_recorded)
    })
}

/// The element type of the parameters.
fn float_type(loss: &Graph) -> burn_backend::DType {
    let first = loss.inputs().first().map(|&value| loss.value(value).dtype);
    first.unwrap_or(burn_backend::DType::F32)
}

fn record_factors(
    kind: FactorKind,
    loss: &Graph,
    parameters: usize,
    compute: impl FnOnce(
        &mut capture::Scope,
        factors::Given<'_, CaptureBackend>,
    ) -> Result<Vec<FloatTensor<CaptureBackend>>, ExecuteError>,
) -> Result<Graph, Error> {
    let &[_, outputs] = loss.outputs() else {
        return Err(DeriveError::NoOutputs.into());
    };
    let program = record("Kronecker factors", |scope| {
        let inputs = Inputs::declare(scope, loss, parameters);
        let noise = match kind.cotangents {
            Cotangents::Drawn(draws) => float(scope.input(&draws.noise_type(loss.value(outputs)))),
            _ => None,
        };
        let device = scope.device();
        let given = factors::Given {
            device: &device,
            parameters: &inputs.parameters,
            batch: &inputs.batch,
            noise,
            scale: None,
        };
        let factors = compute(scope, given)?;
        Ok(factors.into_iter().map(Operand::Float).collect())
    })?;
    Ok(tidy(program))
}

/// A product computed at once on backend `B`, reverse over reverse on its tape.
pub(crate) fn eager_product<B: Backend>(
    kind: Product,
    loss: &Graph,
    given: Given<'_, B>,
) -> Result<Vec<FloatTensor<B>>, Error> {
    let target = Target::new(kind, loss, given.parameters.len())?;
    let run = || target.compute(given, &product::eager_tables());
    match caught(run) {
        Ok(product) => Ok(product?),
        Err(message) => Err(DeriveError::Eager { message }.into()),
    }
}

/// Records a derivative; what Burn refuses there is a refusal to differentiate.
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
struct Inputs {
    parameters: Vec<FloatTensor<CaptureBackend>>,
    batch: Vec<Operand<CaptureBackend>>,
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

/// A tidy program in two parts, with as little as possible left for what depends on the inputs at the given positions.
///
/// Numbers that are the same everywhere are made again rather than kept, and so are patches where they are many.
fn split(program: Graph, varying: &[usize]) -> Split {
    let program = fold::factors_of_what_is_picked(program, varying);
    let program = fold::fixed_factors_first(program, varying);
    let program = patches::products_of_fixed_images(program, varying);
    let program = program.without_common_subexpressions().without_dead_code();
    let keeps_patches = patches::may_keep_patches(&program);
    program.split(varying, |node| {
        node.op.is_uniform() || (!keeps_patches && patches::is_patches(node))
    })
}
