//! Records the programs of moments and of diagonals.

use burn_backend::{DType, Shape, ops::FloatTensorOps};
use burn_capture::CaptureBackend;

use super::{
    FactorKind, Passes, Probed, ProgramInputs, Tensor, diagonal, inputs, second_moment::Sum,
};
use crate::{
    capture::Scope,
    derive::{self, DeriveError, Metric},
    error::Error,
    execute::ExecuteError,
    graph::{Graph, ValueType},
    kfac::layers::{LayerGroup, NetworkLayers},
};

/// The program of second moments: inputs as the loss program's, then the noise of drawn targets, then the scale of the
/// gradients' moments unless there are none. Outputs: the loss and its gradient if `with_gradient`, then for all layers in
/// order the mean of ā āᵀ, or its diagonal for an embedding, and the scaled Σ g gᵀ unless there are no cotangents; behind
/// them the scaled Σ ∇ ∇ᵀ over the samples, for each block.
pub(in crate::kfac) fn moments(
    kind: FactorKind,
    with_gradient: bool,
    network: &NetworkLayers,
    parameters: usize,
) -> Result<Graph, Error> {
    let probed = Probed::new(network, parameters);
    record(kind, &probed, |scope, mut given| {
        if kind.metric.is_some() {
            given.scale = Some(input(scope, vec![1], probed.dtype())?);
        }
        let mut passes = Passes::forward(&probed, &given)?;
        let moments = of_passes(kind, &probed, &given, &mut passes)?;
        let results = std::iter::once(passes.loss).chain(passes.gradient);
        Ok(results.filter(|_| with_gradient).chain(moments).collect())
    })
}

fn of_passes(
    kind: FactorKind,
    probed: &Probed,
    given: &ProgramInputs<'_>,
    passes: &mut Passes<'_>,
) -> Result<Vec<Tensor>, Error> {
    let mut moments = Vec::new();
    for (group, xs) in probed.layers.iter().zip(std::mem::take(&mut passes.inputs)) {
        moments.push(vec![inputs::moment(kind, (probed, group), xs)?]);
    }
    moments.extend(probed.blocks.iter().map(|_| Vec::new()));
    let mut known = passes.of_outputs(kind);
    known.resize(moments.len(), None);
    let mut sums: Vec<Sum<CaptureBackend>> = moments.iter().map(|_| Sum::default()).collect();
    passes.back(kind, |layers, blocks| {
        let rows = layers.into_iter().chain(blocks);
        let unknown = rows.zip(&mut sums).zip(&known).filter(|(_, known)| known.is_none());
        unknown.for_each(|((rows, sum), _)| sum.add(rows));
    })?;
    let scaled = |moment| match (kind.metric, &given.scale) {
        (Some(Metric::Empirical), Some(scale)) => {
            let scale = CaptureBackend::float_reshape(scale.clone(), Shape::from(vec![1, 1, 1]));
            CaptureBackend::float_mul(moment, scale)
        }
        _ => moment,
    };
    for ((own, sum), known) in moments.iter_mut().zip(sums).zip(known) {
        own.extend(known.or_else(|| sum.finish().map(scaled)));
    }
    Ok(moments.into_iter().flatten().collect())
}

/// The program of the diagonals in given bases: inputs as the loss program's, then the noise of drawn targets, then the
/// bases, left where there is one and right, layer by layer; outputs as [`diagonal::diagonals`] says.
pub(in crate::kfac) fn diagonals(
    kind: FactorKind,
    network: &NetworkLayers,
    parameters: usize,
) -> Result<Graph, Error> {
    let probed = Probed::new(network, parameters);
    record(kind, &probed, |scope, given| {
        let mut matrix = |group: &LayerGroup, size: usize| {
            input(scope, vec![group.kind.groups(), size, size], probed.dtype())
        };
        let bases = network.layers.iter().map(|group| {
            let left = (!kind.has_diagonal(group)).then(|| matrix(group, group.d_in()));
            Ok((left.transpose()?, matrix(group, group.d_out())?))
        });
        let bases = bases.collect::<Result<Vec<_>, Error>>()?;
        diagonal::diagonals(kind, &probed, &given, &bases)
    })
}

pub(super) fn record(
    kind: FactorKind,
    probed: &Probed,
    compute: impl FnOnce(&mut Scope, ProgramInputs<'_>) -> Result<Vec<Tensor>, Error>,
) -> Result<Graph, Error> {
    let loss = &probed.loss;
    let &[_, outputs] = loss.outputs() else {
        return Err(DeriveError::NoOutputs.into());
    };
    derive::derived("Kronecker factors", loss, probed.parameters, |scope, inputs| {
        let noise = kind.metric.and_then(|metric| metric.noise_type(loss.value(outputs)));
        let noise = noise.map(|ty| input(scope, ty.shape.to_vec(), ty.dtype)).transpose()?;
        compute(scope, ProgramInputs { device: &scope.device(), inputs, noise, scale: None })
    })
}

/// Declares one more float input.
pub(super) fn input(
    scope: &mut Scope,
    shape: Vec<usize>,
    dtype: DType,
) -> Result<Tensor, ExecuteError> {
    Ok(scope.input(&ValueType { shape: shape.into(), dtype }).into_float()?)
}
