//! The inputs of layers and their second moments. Independent of gradients.

use burn_backend::{
    Backend, DType, Shape, TensorMetadata,
    tensor::{FloatTensor, IndexingUpdateOp, IntTensor},
};

use super::{
    FactorKind, Probed,
    rows::{Rows, times},
};
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
) -> Result<FloatTensor<B>, ExecuteError> {
    if kind.has_diagonal(group) {
        let indices = indices(probed, group, inputs)?;
        let total = Shape::from(vec![1, indices.shape().num_elements()]);
        let width = group.shape[0];
        let shares = shares::<B>(B::int_reshape(indices, total), width, probed.dtype());
        return Ok(B::float_reshape(shares, Shape::from(vec![width])));
    }
    let always = group.uses.iter().all(|tap| tap.biased);
    let rows = rows(kind, (probed, group), inputs, !always)?;
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
    with_constants: bool,
) -> Result<Rows<B>, ExecuteError> {
    if group.kind == LayerKind::Embedding && kind.reduces(group) {
        let (indices, width) = (indices(probed, group, inputs)?, group.shape[0]);
        let dims = Shape::from(vec![indices.shape()[0], 1, 1, width]);
        return Ok(Rows::Rows(B::float_reshape(shares::<B>(indices, width, probed.dtype()), dims)));
    }
    let uses = group.uses.iter().zip(inputs).map(|(tap, x)| {
        let rows = of_tap(probed, tap, (&group.kind, &group.shape), x)?;
        Ok(match group.bias {
            Some(_) if with_constants => rows.with_constant(f64::from(u8::from(tap.biased))),
            _ => rows,
        })
    });
    let rows = required(Rows::joined(uses.collect::<Result<_, ExecuteError>>()?, 1))?;
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
            Ok(Rows::one_hot(indices, weight[0], output.dtype))
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
            Ok(Rows::of_input(kind, x, weight).by_sample(probed.row_axis(tap, false), 1))
        }
        LayerKind::Conv(_) => {
            let rows = Rows::of_input(kind, x.into_float()?, weight);
            Ok(rows.by_sample(probed.row_axis(tap, true), 1))
        }
    }
}

impl<B: Backend> Rows<B> {
    /// One-hot rows of indices `[samples, places]`.
    pub fn one_hot(indices: IntTensor<B>, width: usize, dtype: DType) -> Self {
        let [samples, places] = [indices.shape()[0], indices.shape()[1]];
        let each = B::int_reshape(indices, Shape::from(vec![samples * places, 1]));
        let dims = Shape::from(vec![samples, places, 1, width]);
        Self::Rows(B::float_reshape(shares::<B>(each, width, dtype), dims))
    }
}

/// The share of each of `width` rows in indices `[samples, places]`, sample by sample: the mean of their one-hot rows.
fn shares<B: Backend>(indices: IntTensor<B>, width: usize, dtype: DType) -> FloatTensor<B> {
    let (shape, device) = (indices.shape(), indices.device());
    let ones = B::float_ones(shape.clone(), &device, dtype.into());
    let zeros = B::float_zeros(Shape::from(vec![shape[0], width]), &device, dtype.into());
    let counts = B::float_scatter(1, zeros, indices, ones, IndexingUpdateOp::Add);
    times::<B>(counts, (shape[1].max(1) as f64).recip())
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
