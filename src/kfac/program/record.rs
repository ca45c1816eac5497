//! Records the programs of moments and of diagonals.

use burn_backend::{DType, tensor::FloatTensor};
use burn_capture::CaptureBackend;

use super::{Basis, FactorKind, Given, Probed, compute, compute_diagonals};
use crate::{
    capture::Scope,
    derive::{self, DeriveError},
    error::Error,
    graph::{Graph, ValueType},
    kfac::layers::{LayerGroup, NetworkLayers},
    tensor::Operand,
};

type Recorded = FloatTensor<CaptureBackend>;

/// The program of second moments: inputs as the loss program's, then the noise of drawn targets, then the scale of the
/// gradients' moments unless there are none; outputs the loss and its gradient if `with_gradient`, then the moments.
pub(in crate::kfac) fn moments(
    kind: FactorKind,
    with_gradient: bool,
    network: &NetworkLayers,
    parameters: usize,
) -> Result<Graph, Error> {
    let (probed, loss) = (Probed::new(network, parameters), &network.graph);
    record(kind, loss, parameters, |scope, mut given| {
        if kind.metric.is_some() {
            given.scale = input(scope, vec![1], float_type(loss));
        }
        let factors = compute(kind, &probed, &given, derive::apply_recorded)?;
        if !with_gradient {
            return Ok(factors.moments);
        }
        let results = std::iter::once(factors.loss).chain(factors.gradient);
        Ok(results.chain(factors.moments).collect())
    })
}

/// The program of the diagonals in given bases: inputs as the loss program's, then the noise of drawn targets, then the
/// bases, left where there is one and right, layer by layer; outputs as [`compute_diagonals`] says.
pub(in crate::kfac) fn diagonals(
    kind: FactorKind,
    network: &NetworkLayers,
    parameters: usize,
) -> Result<Graph, Error> {
    let (probed, loss) = (Probed::new(network, parameters), &network.graph);
    record(kind, loss, parameters, |scope, given| {
        let mut matrix = |group: &LayerGroup, size: usize| {
            input(scope, vec![group.kind.groups(), size, size], float_type(loss))
        };
        let bases = network.layers.iter().filter_map(|group| {
            let left =
                if kind.has_diagonal(group) { None } else { Some(matrix(group, group.d_in())?) };
            let right = matrix(group, group.width_out() / group.kind.groups().max(1))?;
            Some(Basis { left, right })
        });
        let bases: Vec<_> = bases.collect();
        compute_diagonals(kind, &probed, &given, &bases, derive::apply_recorded)
    })
}

pub(super) fn record(
    kind: FactorKind,
    loss: &Graph,
    parameters: usize,
    compute: impl FnOnce(&mut Scope, Given<'_, CaptureBackend>) -> Result<Vec<Recorded>, Error>,
) -> Result<Graph, Error> {
    let &[_, outputs] = loss.outputs() else {
        return Err(DeriveError::NoOutputs.into());
    };
    derive::derived("Kronecker factors", loss, parameters, |scope, inputs| {
        let noise = kind.metric.and_then(|metric| metric.noise_type(loss.value(outputs)));
        let noise = noise.and_then(|ty| input(scope, ty.shape.to_vec(), ty.dtype));
        let device = scope.device();
        let given = Given {
            device: &device,
            parameters: &inputs.parameters,
            batch: &inputs.batch,
            noise,
            scale: None,
        };
        compute(scope, given)
    })
}

/// Declares one more float input.
pub(super) fn input(scope: &mut Scope, shape: Vec<usize>, dtype: DType) -> Option<Recorded> {
    match scope.input(&ValueType { shape: shape.into(), dtype }) {
        Operand::Float(tensor) => Some(tensor),
        Operand::Int(_) | Operand::Bool(_) => None,
    }
}

/// The element type of the parameters.
pub(super) fn float_type(loss: &Graph) -> DType {
    loss.inputs().first().map_or(DType::F32, |&value| loss.value(value).dtype)
}
