//! A check of the samples by numbers: what goes back from one sample of the outputs reaches its own rows only.

use burn_backend::{Shape, Slice, ops::FloatTensorOps, tensor::Device};
use burn_capture::CaptureBackend as B;

use super::{
    FactorKind, Given, Passes, Probed, Reduced, Tensor, gather::one_of_many, record::record,
    rows::Rows,
};
use crate::{
    derive::required,
    error::Error,
    graph::{Graph, ValueType},
    kfac::layers::{NetworkLayers, Samples},
};

/// The program that propagates a cotangent of the first sample back: for each layer Σ g² over the rows of each sample.
pub(in crate::kfac) fn reach(network: &NetworkLayers, parameters: usize) -> Result<Graph, Error> {
    let kind = FactorKind { metric: None, reduced: Reduced::Nothing };
    let probed = Probed::new(network, parameters);
    record(kind, &probed, |_, given| squares(kind, &probed, network.samples, &given))
}

fn squares(
    kind: FactorKind,
    probed: &Probed,
    samples: Samples,
    given: &Given<'_>,
) -> Result<Vec<Tensor>, Error> {
    let outputs = required(probed.program.outputs().get(1).copied())?;
    let cotangent = of_first(probed.program.value(outputs), samples, given.device);
    let passes = Passes::forward(probed, given)?;
    let gradients = passes.pulled_back(&probed.adjoint()?, one_of_many(&cotangent))?;
    let layers = passes.of_layers(kind, &mut gradients.into_iter())?;
    Ok(layers.iter().map(by_sample).collect())
}

/// Σ of squares, `[samples, 1]`.
fn by_sample(rows: &Rows<B>) -> Tensor {
    let [count, places, groups, width] = rows.sizes();
    let dims = Shape::from(vec![count, places * groups * width]);
    let rows = B::float_reshape(rows.rows(), dims);
    B::float_sum_dim(B::float_mul(rows.clone(), rows), 1)
}

/// 1, 2, 3, … at the outputs of the first sample and zeros elsewhere.
fn of_first(outputs: &ValueType, Samples { count, stride }: Samples, device: &Device<B>) -> Tensor {
    let total = outputs.shape.num_elements();
    let ones = B::float_ones(Shape::from(vec![total]), device, outputs.dtype.into());
    let ramp = B::float_cumsum(ones, 0);
    let outer = total / (count * stride).max(1);
    let split = B::float_reshape(ramp, Shape::from(vec![outer, count, stride]));
    let first = [Slice::full(), Slice::from(0..1)];
    let zeros = B::float_mul_scalar(split.clone(), 0.0.into());
    let own = B::float_slice(split, &first);
    B::float_reshape(B::float_slice_assign(zeros, &first, own), outputs.shape.clone())
}
