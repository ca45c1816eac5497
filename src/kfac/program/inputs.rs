//! The inputs of layers and their second moments. Knows nothing of gradients.

use burn_backend::{
    Backend, FloatDType, Shape, TensorMetadata,
    tensor::{Device, FloatTensor, IndexingUpdateOp, IntTensor},
};

use super::{FactorKind, Given, Probed, rows::Rows, samples::one_hot};
use crate::{
    derive::required,
    execute::ExecuteError,
    kfac::layers::{LayerGroup, LayerKind, Tap},
    tensor::Operand,
};

/// The mean of ā āᵀ over all uses of a weight, with a one behind every a where there is a bias, and a zero in uses without
/// it; for an embedding whose places are not reduced, its diagonal.
pub(super) fn moment<B: Backend>(
    kind: FactorKind,
    (probed, group): (&Probed, &LayerGroup),
    inputs: Vec<Operand<B>>,
    given: &Given<'_, B>,
) -> Result<FloatTensor<B>, ExecuteError> {
    if kind.has_diagonal(group) {
        return frequencies(group, inputs, given);
    }
    let biased = group.uses.iter().filter(|tap| tap.biased).count();
    let always = biased == group.uses.len();
    let rows = match group.kind {
        LayerKind::Embedding => {
            let types = (given.device, float_type(given));
            mean_one_hot(probed, group, inputs, types)?
        }
        _ => rows(kind, (probed, group), inputs, !always)?,
    };
    Ok(match group.bias {
        Some(_) if always => rows.mean_with_ones(),
        _ => rows.second_moment((rows.count().max(1) as f64).recip()),
    })
}

/// The inputs of all uses of a weight that is multiplied; with their ones or zeros for the bias where it is asked for.
pub(super) fn rows<B: Backend>(
    kind: FactorKind,
    (probed, group): (&Probed, &LayerGroup),
    inputs: Vec<Operand<B>>,
    with_constants: bool,
) -> Result<Rows<B>, ExecuteError> {
    let uses = group.uses.iter().zip(inputs).map(|(tap, x)| {
        let rows = of_tap(probed, tap, (&group.kind, &group.shape), x)?;
        Ok(match group.bias {
            Some(_) if with_constants => rows.with_constant(f64::from(u8::from(tap.biased))),
            _ => rows,
        })
    });
    let rows = required(Rows::joined(uses.collect::<Result<_, ExecuteError>>()?))?;
    Ok(if kind.reduces(group) { rows.over_places(true) } else { rows })
}

/// The inputs of one use, by samples and places; those of an embedding written out.
pub(super) fn of_tap<B: Backend>(
    probed: &Probed,
    tap: &Tap,
    (kind, weight): (&LayerKind, &[usize]),
    x: Operand<B>,
) -> Result<Rows<B>, ExecuteError> {
    let output = probed.ty(tap);
    match kind {
        LayerKind::Embedding => {
            let indices = indices_by_sample(probed, tap, x)?;
            Ok(one_hot::<B>(indices, weight[0], output.dtype.into()))
        }
        LayerKind::Linear { .. } => {
            let x = x.into_float()?;
            // An input that is broadcast in the product.
            let mut shape = output.shape.to_vec();
            let (last, width) = (shape.last_mut(), x.shape().last().copied());
            if let (Some(last), Some(width)) = (last, width) {
                *last = width;
            }
            let fits =
                tap.once.is_some() || x.shape().num_elements() == shape.iter().product::<usize>();
            let x = if fits { x } else { B::float_expand(x, Shape::from(shape)) };
            Ok(Rows::of_input(kind, x, weight).by_sample(probed.row_axis(tap, false)))
        }
        LayerKind::Conv(_) => {
            let rows = Rows::of_input(kind, x.into_float()?, weight);
            Ok(rows.by_sample(probed.row_axis(tap, true)))
        }
    }
}

/// How often each row of an embedding is used, of all uses.
fn frequencies<B: Backend>(
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
    given: &Given<'_, B>,
) -> Result<FloatTensor<B>, ExecuteError> {
    let dtype = float_type(given);
    let shape = |size: usize| Shape::from(vec![size]);
    let mut total = 0;
    let mut counts = B::float_zeros(shape(group.shape[0]), given.device, dtype);
    for indices in inputs {
        let indices = indices.into_int()?;
        let uses = indices.shape().num_elements();
        let flat = B::int_reshape(indices, shape(uses));
        total += uses;
        let ones = B::float_ones(shape(uses), given.device, dtype);
        counts = B::float_select_assign(counts, 0, flat, ones, IndexingUpdateOp::Add);
    }
    Ok(B::float_mul_scalar(counts, (total.max(1) as f64).recip().into()))
}

/// The one-hot inputs of an embedding, averaged over the places of each sample: how often each row is used, of all uses.
pub(super) fn mean_one_hot<B: Backend>(
    probed: &Probed,
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
    (device, dtype): (&Device<B>, FloatDType),
) -> Result<Rows<B>, ExecuteError> {
    let (width, samples) = (group.shape[0], group.samples());
    let shape = |columns: usize| Shape::from(vec![samples, columns]);
    let (mut counts, mut total) = (B::float_zeros(shape(width), device, dtype), 0);
    for (tap, indices) in group.uses.iter().zip(inputs) {
        let indices = indices_by_sample(probed, tap, indices)?;
        let places = indices.shape()[1];
        total += places;
        let ones = B::float_ones(shape(places), device, dtype);
        counts = B::float_scatter(1, counts, indices, ones, IndexingUpdateOp::Add);
    }
    let mean = B::float_mul_scalar(counts, (total.max(1) as f64).recip().into());
    Ok(Rows::Rows(B::float_reshape(mean, Shape::from(vec![samples, 1, 1, width]))))
}

/// The rows that an embedding uses, over all its uses: `[samples, places]`.
pub(super) fn indices<B: Backend>(
    probed: &Probed,
    group: &LayerGroup,
    inputs: Vec<Operand<B>>,
) -> Result<IntTensor<B>, ExecuteError> {
    let uses = group.uses.iter().zip(inputs);
    let uses = uses.map(|(tap, indices)| indices_by_sample(probed, tap, indices));
    let mut uses = uses.collect::<Result<Vec<_>, ExecuteError>>()?;
    if uses.len() < 2 {
        return required(uses.pop());
    }
    Ok(B::int_cat(uses, 1))
}

/// `[samples, places]`
fn indices_by_sample<B: Backend>(
    probed: &Probed,
    tap: &Tap,
    indices: Operand<B>,
) -> Result<IntTensor<B>, ExecuteError> {
    let indices = indices.into_int()?;
    let total = indices.shape().num_elements();
    let [samples, stride] = probed.row_axis(tap, false).unwrap_or([1, total]);
    let outer = total / (samples * stride).max(1);
    let split = B::int_reshape(indices, Shape::from(vec![outer, samples, stride]));
    let first = if outer == 1 { split } else { B::int_swap_dims(split, 0, 1) };
    Ok(B::int_reshape(first, Shape::from(vec![samples, outer * stride])))
}

/// The element type of the parameters.
fn float_type<B: Backend>(given: &Given<'_, B>) -> FloatDType {
    let first = given.parameters.first();
    first.map_or(FloatDType::F32, |parameter| parameter.dtype().into())
}
