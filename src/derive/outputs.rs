//! Products with the Jacobian J = ∂z/∂θ of a network and with the curvature of a loss in its outputs z, generic over the
//! backend as in `reverse`.
//!
//! No forward-mode rules are needed: Jᵀu is linear in u, so J v is the derivative of ⟨Jᵀu, v⟩ by u.

use burn_autodiff::Autodiff;
use burn_backend::{
    AutodiffBackend, Backend, Shape, TensorMetadata, ops::FloatTensorOps, tensor::FloatTensor,
};

use super::{
    metric::Metric,
    network::Network,
    reverse::{self, Apply, Arguments},
};
use crate::{error::Error, execute::ExecuteError};

/// The tables of operations for one tape and for two.
pub(super) struct Tables<B: Backend> {
    pub once: Apply<Autodiff<B>>,
    pub twice: Apply<Autodiff<Autodiff<B>>>,
}

/// The matrix in the outputs of a product JᵀMJ.
pub(super) enum Curvature<B: Backend> {
    /// ∇²ℓ(z), by autodiff on the loss.
    Loss,
    /// A metric, with the noise that its targets are drawn by.
    Metric(Metric, Option<FloatTensor<B>>),
}

/// J v, with z.
pub(super) struct Tangent<B: Backend> {
    pub outputs: FloatTensor<B>,
    pub tangent: FloatTensor<B>,
}

/// z and J v. `arguments` are those of the network.
pub(super) fn jacobian_product<B: Backend>(
    arguments: &Arguments<'_, B>,
    vector: &[FloatTensor<B>],
    apply: Apply<Autodiff<Autodiff<B>>>,
) -> Result<Tangent<B>, Error> {
    let lifted = arguments.parameters.iter().cloned().map(Autodiff::<B>::from_inner);
    let parameters: Vec<_> = lifted.collect();
    let batch: Vec<_> = arguments.batch.iter().cloned().map(reverse::lift::<B>).collect();
    let outer = Arguments::<Autodiff<B>> {
        program: arguments.program,
        device: arguments.device,
        parameters: &parameters,
        batch: &batch,
    };
    let leaves: Vec<_> = parameters.iter().cloned().map(reverse::leaf::<Autodiff<B>>).collect();
    let replayed = reverse::replay_on_tape(&outer, &leaves, apply)?;
    let outputs = required(reverse::first_float(&replayed.outputs)?)?;
    let dummy = {
        let zeros = B::float_zeros(outputs.shape(), arguments.device, outputs.dtype().into());
        reverse::leaf::<B>(zeros)
    };
    let pulled = pull_back::<Autodiff<B>>(outputs.clone(), dummy.clone(), &leaves);
    drop(replayed);
    let slope = reverse::directional_derivative::<B>(pulled, vector);
    let dummy = [dummy];
    let mut tangents = reverse::gradients_of::<B>(reverse::tracked::<B>(slope, &dummy), &dummy);
    Ok(Tangent {
        outputs: Autodiff::<B>::inner(Autodiff::<Autodiff<B>>::inner(outputs)),
        tangent: required(tangents.pop())?,
    })
}

/// Jᵀu. `arguments` are those of the network.
pub(crate) fn adjoint_product<B: Backend>(
    arguments: &Arguments<'_, B>,
    cotangent: FloatTensor<B>,
    apply: Apply<Autodiff<B>>,
) -> Result<Vec<FloatTensor<B>>, Error> {
    let (outputs, leaves) = on_tape(arguments, apply)?;
    Ok(pull_back::<B>(outputs, cotangent, &leaves))
}

/// JᵀS r with S Sᵀ = M. `arguments` are those of the network.
pub(super) fn root_product<B: Backend>(
    network: &Network,
    (metric, noise): (Metric, Option<FloatTensor<B>>),
    arguments: &Arguments<'_, B>,
    vector: FloatTensor<B>,
    apply: Apply<Autodiff<B>>,
) -> Result<Vec<FloatTensor<B>>, Error> {
    let (outputs, leaves) = on_tape(arguments, apply)?;
    let z = Autodiff::<B>::inner(outputs.clone());
    let cotangent = match metric {
        Metric::Exact(family) => family.root::<B>(z, vector),
        Metric::Empirical => B::float_mul(slope(network, arguments, z, apply)?, vector),
        Metric::Drawn { family, draws } => {
            let shape = z.shape();
            let directions = family.directions::<B>(draws, z, required(noise)?);
            let vector = B::float_reshape(vector, directions.shape());
            let sum = B::float_sum_dim(B::float_mul(directions, vector), 0);
            B::float_reshape(sum, shape)
        }
    };
    Ok(pull_back::<B>(outputs, cotangent, &leaves))
}

/// ∂ℓ/∂z.
fn slope<B: Backend>(
    network: &Network,
    arguments: &Arguments<'_, B>,
    z: FloatTensor<B>,
    apply: Apply<Autodiff<B>>,
) -> Result<FloatTensor<B>, Error> {
    let head = Arguments { program: &network.head, parameters: &[z], ..*arguments };
    Ok(required(reverse::gradient(&head, apply)?.gradient.into_iter().next())?)
}

type OnTape<B> = FloatTensor<Autodiff<B>>;

/// z on the tape, with its leaves.
fn on_tape<B: Backend>(
    arguments: &Arguments<'_, B>,
    apply: Apply<Autodiff<B>>,
) -> Result<(OnTape<B>, Vec<OnTape<B>>), Error> {
    let leaves = arguments.parameters.iter().cloned();
    let leaves: Vec<_> = leaves.map(reverse::leaf::<B>).collect();
    let replayed = reverse::replay_on_tape(arguments, &leaves, apply)?;
    Ok((required(reverse::first_float(&replayed.outputs)?)?, leaves))
}

/// JᵀMJ v. `arguments` are those of the network.
pub(super) fn gauss_newton_product<B: Backend>(
    network: &Network,
    curvature: Curvature<B>,
    arguments: &Arguments<'_, B>,
    vector: &[FloatTensor<B>],
    tables: &Tables<B>,
) -> Result<Vec<FloatTensor<B>>, Error> {
    let Tangent { outputs: z, tangent } = jacobian_product(arguments, vector, tables.twice)?;
    let curved = match curvature {
        Curvature::Loss => {
            let head = Arguments { program: &network.head, parameters: &[z], ..*arguments };
            let product = reverse::hessian_vector_product(&head, &[tangent], tables.twice)?;
            required(product.into_iter().next())?
        }
        Curvature::Metric(Metric::Exact(family), _) => family.curvature::<B>(z, tangent),
        Curvature::Metric(Metric::Drawn { family, draws }, noise) => {
            outer::<B>(family.directions::<B>(draws, z, required(noise)?), tangent)
        }
        Curvature::Metric(Metric::Empirical, _) => {
            let slope = slope(network, arguments, z, tables.once)?;
            outer::<B>(unsqueezed::<B>(slope), tangent)
        }
    };
    adjoint_product(arguments, curved, tables.once)
}

/// The gradient of ⟨z, u⟩.
fn pull_back<B: Backend>(
    outputs: FloatTensor<Autodiff<B>>,
    cotangent: FloatTensor<B>,
    leaves: &[FloatTensor<Autodiff<B>>],
) -> Vec<FloatTensor<B>> {
    let cotangent = Autodiff::<B>::from_inner(cotangent);
    let product = Autodiff::<B>::float_sum(Autodiff::<B>::float_mul(outputs, cotangent));
    reverse::gradients_of::<B>(reverse::tracked::<B>(Some(product), leaves), leaves)
}

/// Σₛ dₛ⟨dₛ, u⟩ sample by sample; samples are the first dimension of u.
fn outer<B: Backend>(directions: FloatTensor<B>, tangent: FloatTensor<B>) -> FloatTensor<B> {
    let shape = tangent.shape();
    let samples = shape.iter().next().copied().unwrap_or(1);
    let each = shape.num_elements() / samples.max(1);
    let draws = directions.shape().num_elements() / shape.num_elements().max(1);
    let directions = B::float_reshape(directions, Shape::from(vec![draws, samples, each]));
    let tangent = B::float_reshape(tangent, Shape::from(vec![1, samples, each]));
    let slopes = B::float_sum_dim(B::float_mul(directions.clone(), tangent), 2);
    let sum = B::float_sum_dim(B::float_mul(directions, slopes), 0);
    B::float_reshape(sum, shape)
}

fn unsqueezed<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let shape: Vec<usize> = std::iter::once(1).chain(tensor.shape().iter().copied()).collect();
    B::float_reshape(tensor, Shape::from(shape))
}

pub(crate) fn required<T>(value: Option<T>) -> Result<T, ExecuteError> {
    value.ok_or_else(|| ExecuteError::InputCount {
        what: "a product in output space".into(),
        expected: 1,
        found: 0,
    })
}
