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

/// Where tensors are made, and of which type.
pub(super) type Types<'a, B> = (&'a Device<B>, FloatDType);

/// The device, and the element type of the parameters.
pub(super) fn types<'a, B: Backend>(given: &Given<'a, B>) -> Types<'a, B> {
    let first = given.parameters.first();
    (given.device, first.map_or(FloatDType::F32, |parameter| parameter.dtype().into()))
}

/// The mean of ā āᵀ over all uses of a weight, with a one behind every a where there is a bias, and a zero in uses without
/// it; for an embedding whose places are not reduced, its diagonal.
pub(super) fn moment<B: Backend>(
    kind: FactorKind,
    (probed, group): (&Probed, &LayerGroup),
    inputs: Vec<Operand<B>>,
    given: &Given<'_, B>,
) -> Result<FloatTensor<B>, ExecuteError> {
    let types = types(given);
    if kind.has_diagonal(group) {
        let indices = indices(probed, group, inputs)?;
        let total = Shape::from(vec![indices.shape().num_elements()]);
        return Ok(frequencies::<B>(B::int_reshape(indices, total), group.shape[0], types));
    }
    let always = group.uses.iter().all(|tap| tap.biased);
    let rows = rows(kind, (probed, group), inputs, (!always, types))?;
    Ok(match group.bias {
        Some(_) if always => rows.mean_with_ones(),
        _ => rows.second_moment((rows.count().max(1) as f64).recip()),
    })
}

/// The inputs of all uses of a weight, with their ones or zeros for the bias where it is asked for.
pub(super) fn rows<B: Backend>(
    kind: FactorKind,
    (probed, group): (&Probed, &LayerGroup),
    inputs: Vec<Operand<B>>,
    (with_constants, types): (bool, Types<'_, B>),
) -> Result<Rows<B>, ExecuteError> {
    if group.kind == LayerKind::Embedding && kind.reduces(group) {
        // The one-hot inputs, averaged over the places of each sample.
        return Ok(mean_one_hot::<B>(indices(probed, group, inputs)?, group.shape[0], types));
    }
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

/// How often each of `width` rows is among indices, of all of them: `[width]`.
fn frequencies<B: Backend>(
    indices: IntTensor<B>,
    width: usize,
    (device, dtype): Types<'_, B>,
) -> FloatTensor<B> {
    let uses = indices.shape().num_elements();
    let shape = |size: usize| Shape::from(vec![size]);
    let ones = B::float_ones(shape(uses), device, dtype);
    let counts = B::float_zeros(shape(width), device, dtype);
    let counts = B::float_select_assign(counts, 0, indices, ones, IndexingUpdateOp::Add);
    B::float_mul_scalar(counts, (uses.max(1) as f64).recip().into())
}

/// The same for indices `[samples, places]`, sample by sample.
fn mean_one_hot<B: Backend>(
    indices: IntTensor<B>,
    width: usize,
    (device, dtype): Types<'_, B>,
) -> Rows<B> {
    let [samples, places] = [indices.shape()[0], indices.shape()[1]];
    let shape = |columns: usize| Shape::from(vec![samples, columns]);
    let ones = B::float_ones(shape(places), device, dtype);
    let counts = B::float_zeros(shape(width), device, dtype);
    let counts = B::float_scatter(1, counts, indices, ones, IndexingUpdateOp::Add);
    let mean = B::float_mul_scalar(counts, (places.max(1) as f64).recip().into());
    Rows::Rows(B::float_reshape(mean, Shape::from(vec![samples, 1, 1, width])))
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
