//! A numerical check of the samples: what is propagated back from a sample of the outputs reaches its own rows only.
//!
//! Two cotangents go back, u and c u with a factor cₙ for each sample. Rows of one sample each are multiplied by its factor;
//! rows that several samples reach are not, wherever two of these have different factors.

use burn_backend::{DType, TensorData, ops::FloatTensorOps, tensor::Device};
use burn_capture::CaptureBackend as B;

use super::{
    FactorKind, Passes, Reduced, Tensor,
    record::record,
    rows::{Rows, one_of_many},
};
use crate::{
    derive::required,
    error::Error,
    graph::{Graph, ValueType},
    kfac::layers::{NetworkLayers, Samples},
    seeds::Seeds,
    tensor::reshape,
};

/// The program that propagates u and c u back, to rows g and h: for each layer Σ (h − cₙ g)² and Σ (cₙ g)² over the rows
/// of each sample, `[samples, 2]`.
pub(in crate::kfac) fn reach(network: &NetworkLayers, parameters: usize) -> Result<Graph, Error> {
    let kind = FactorKind { metric: None, reduced: Reduced::Nothing, in_panels: false };
    record(kind, network, parameters, |_, passes| squares(passes, network.samples))
}

fn squares(passes: &Passes<'_>, samples: Samples) -> Result<Vec<Tensor>, Error> {
    let program = &passes.probed.program;
    let outputs = program.value(required(program.outputs().get(1).copied())?);
    let adjoint = passes.probed.adjoint()?;
    let rows = |cotangent: Tensor| {
        let gradients = passes.pulled_back(&adjoint, one_of_many::<B>(cotangent))?;
        Ok::<_, Error>(passes.of_layers(&mut gradients.into_iter())?)
    };
    let factors = factors(samples.count, outputs.dtype, &passes.device);
    let [plain, scaled] = cotangents(outputs, samples, &factors, &passes.device);
    let (plain, scaled) = (rows(plain)?, rows(scaled)?);
    let pairs = plain.iter().zip(&scaled);
    Ok(pairs.map(|(plain, scaled)| compared(plain, scaled, &factors, samples.count)).collect())
}

/// Σ (h − cₙ g)² and Σ (cₙ g)², `[samples, 2]`. Rows that belong to no sample in particular have nothing to compare.
fn compared(plain: &Rows<B>, scaled: &Rows<B>, factors: &Tensor, samples: usize) -> Tensor {
    let [count, places, groups, width] = plain.sizes();
    let flat = |rows: &Rows<B>| reshape::<B>(rows.rows(), &[count, places * groups * width]);
    let squared = |x: Tensor| B::float_sum_dim(B::float_mul(x.clone(), x), 1);
    let (plain, scaled) = (flat(plain), flat(scaled));
    let expected = if count == samples {
        B::float_mul(plain, reshape::<B>(factors.clone(), &[count, 1]))
    } else {
        scaled.clone()
    };
    let difference = B::float_sub(scaled, expected.clone());
    B::float_cat(vec![squared(difference), squared(expected)], 1)
}

/// A power of two for each sample, from 1 to 128, so that multiplication rounds nothing. Neighbors differ, others mostly.
fn factors(samples: usize, dtype: DType, device: &Device<B>) -> Tensor {
    let power = |at: usize| {
        let block = (at / POWERS) as u64;
        (at + Seeds::at(0, block) as usize % POWERS) % POWERS
    };
    let values: Vec<f32> = (0..samples).map(|at| (1_u32 << power(at)) as f32).collect();
    B::float_from_data(TensorData::new(values, [samples]).convert_dtype(dtype), device)
}

const POWERS: usize = 8;

/// u = 1, 2, 3, …, and c u.
fn cotangents(
    outputs: &ValueType,
    Samples { count, stride }: Samples,
    factors: &Tensor,
    device: &Device<B>,
) -> [Tensor; 2] {
    let total = outputs.shape.num_elements();
    let ones = B::float_ones([total].into(), device, outputs.dtype.into());
    let ramp = B::float_cumsum(ones, 0);
    let outer = total / (count * stride).max(1);
    let split = reshape::<B>(ramp.clone(), &[outer, count, stride]);
    let scaled = B::float_mul(split, reshape::<B>(factors.clone(), &[1, count, 1]));
    [ramp, scaled].map(|cotangent| reshape::<B>(cotangent, &outputs.shape))
}
