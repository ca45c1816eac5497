//! Records programs of layers; second moments.

use burn_backend::{DType, Slice, TensorMetadata, ops::FloatTensorOps};
use burn_capture::CaptureBackend as B;

use super::{FactorKind, Passes, Probed, Squares, Tensor, second_moment::Sum};
use crate::{
    capture::Scope,
    derive::{self, DeriveError, Metric, required},
    error::Error,
    execute::ExecuteError,
    graph::{Graph, ValueType},
    kfac::layers::NetworkLayers,
    tensor::reshape,
};

/// The mean of ā āᵀ for all layers in order, or its diagonal for an embedding, and the scaled Σ g gᵀ unless there are no
/// cotangents; behind them the scaled Σ ∇ ∇ᵀ over the samples, for each block. The scale of the gradients' moments is a
/// further input, unless there are none.
pub(super) fn moments(
    inputs: &mut ProgramInputs<'_>,
    passes: &mut Passes<'_>,
) -> Result<Vec<Tensor>, Error> {
    if passes.kind.metric.is_some() {
        passes.scale = Some(inputs.float(&[1])?);
    }
    let passes = &*passes;
    let mut moments = Vec::new();
    for (group, xs) in passes.layers() {
        moments.push(vec![passes.moment(group, xs)?]);
    }
    moments.extend(passes.probed.network.blocks.iter().map(|_| Vec::new()));
    let mut known = passes.of_outputs();
    known.resize(moments.len(), None);
    let mut sums: Vec<Sum<B>> = moments.iter().map(|_| Sum::new(passes.kind.in_panels)).collect();
    passes.back(|layers, blocks| {
        let rows = layers.into_iter().chain(blocks);
        let unknown = rows.zip(&mut sums).zip(&known).filter(|(_, known)| known.is_none());
        unknown.for_each(|((rows, sum), _)| sum.add(rows));
    })?;
    let scaled = |moment| match (passes.kind.metric, &passes.scale) {
        (Some(Metric::Empirical), Some(scale)) => {
            B::float_mul(moment, reshape::<B>(scale.clone(), &[1, 1, 1]))
        }
        _ => moment,
    };
    for ((own, sum), known) in moments.iter_mut().zip(sums).zip(known) {
        own.extend(known.or_else(|| sum.finish().map(scaled)));
    }
    Ok(moments.into_iter().flatten().collect())
}

/// The squares of the products JᵀS r with random vectors r, which are a further input `[probes, outputs…]`: added up and
/// flat, for each parameter.
pub(super) fn squares(
    inputs: &mut ProgramInputs<'_>,
    passes: &Passes<'_>,
    Squares { family, probes, parameters }: &Squares,
) -> Result<Vec<Tensor>, Error> {
    let own = passes.z.shape().to_vec();
    let vectors = inputs.float(&[&[*probes], &own[..]].concat())?;
    let mut sums: Vec<Option<Tensor>> = vec![None; parameters.len()];
    for probe in 0..*probes {
        let vector = B::float_slice(vectors.clone(), &[Slice::from(probe..probe + 1)]);
        let cotangent = family.root::<B>(passes.z.clone(), reshape::<B>(vector, &own));
        let gradients = passes.in_parameters(cotangent)?;
        for (sum, &at) in sums.iter_mut().zip(parameters) {
            let own = required(gradients.get(at).cloned())?;
            let elements = own.shape().num_elements();
            let square = reshape::<B>(B::float_mul(own.clone(), own), &[elements]);
            *sum = sum.take().into_iter().chain([square]).reduce(B::float_add);
        }
    }
    Ok(sums.into_iter().flatten().collect())
}

/// The program of `compute`, from the passes through a network with its outputs.
pub(super) fn record(
    kind: FactorKind,
    network: &NetworkLayers,
    parameters: usize,
    compute: impl FnOnce(&mut ProgramInputs<'_>, &mut Passes<'_>) -> Result<Vec<Tensor>, Error>,
) -> Result<Graph, Error> {
    let loss = &network.graph;
    let &[_, outputs] = loss.outputs() else {
        return Err(DeriveError::NoOutputs.into());
    };
    let probed = Probed::new(network, parameters);
    derive::derived("Kronecker factors", loss, parameters, |scope, inputs| {
        let noise = kind.metric.and_then(|metric| metric.noise_type(loss.value(outputs)));
        let noise = noise.map(|ty| scope.input(&ty).into_float()).transpose()?;
        let mut passes = Passes::forward((kind, &probed), (scope.device(), inputs), noise)?;
        compute(&mut ProgramInputs { scope, dtype: probed.dtype() }, &mut passes)
    })
}

/// Further inputs of a program that is being recorded, in its precision.
pub(super) struct ProgramInputs<'a> {
    pub scope: &'a mut Scope,
    dtype: DType,
}

impl ProgramInputs<'_> {
    pub fn float(&mut self, shape: &[usize]) -> Result<Tensor, ExecuteError> {
        let ty = ValueType { shape: shape.to_vec().into(), dtype: self.dtype };
        Ok(self.scope.input(&ty).into_float()?)
    }
}
