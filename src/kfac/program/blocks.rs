//! The gradients by single samples of parameters that are no weight or bias of a layer.

use burn_backend::{Backend, Shape, TensorMetadata, tensor::FloatTensor};

use super::{Probed, gather, inputs, rows::Rows};
use crate::{
    derive::required,
    execute::ExecuteError,
    graph::Op,
    kfac::layers::{BlockGroup, LayerKind, Moves, Role, Samples, Tap},
    tensor::Operand,
};

/// The inputs of the taps of all blocks; `None` where there is none.
pub(super) fn inputs_of<B: Backend>(
    probed: &Probed,
    inputs: &mut impl Iterator<Item = Operand<B>>,
) -> Result<Vec<Vec<Option<Rows<B>>>>, ExecuteError> {
    let mut of = |block: &BlockGroup, tap: &Tap| match &tap.role {
        Role::Weight(kind) => {
            let x = required(inputs.next())?;
            Ok(Some(inputs::of_tap(probed, tap, (kind, &block.shape), x)?))
        }
        Role::Bias(_) | Role::Broadcast(_) => Ok(None),
    };
    let mut blocks = Vec::with_capacity(probed.blocks.len());
    for block in &probed.blocks {
        let taps = block.taps.iter().map(|tap| of(block, tap));
        blocks.push(taps.collect::<Result<_, ExecuteError>>()?);
    }
    Ok(blocks)
}

/// The gradients of all blocks, a row of all elements for each sample.
pub(super) fn gradients<B: Backend>(
    probed: &Probed,
    inputs: &[Vec<Option<Rows<B>>>],
    taps: &mut impl Iterator<Item = FloatTensor<B>>,
) -> Result<Vec<Rows<B>>, ExecuteError> {
    let mut all = Vec::with_capacity(probed.blocks.len());
    for (block, inputs) in probed.blocks.iter().zip(inputs) {
        let mut sum: Option<FloatTensor<B>> = None;
        for ((tap, x), g) in block.taps.iter().zip(inputs).zip(taps.by_ref()) {
            let gradient = gradient(probed, tap, x.as_ref(), g)?;
            sum = Some(match sum.take() {
                Some(sum) => B::float_add(sum, gradient),
                None => gradient,
            });
        }
        let sum = required(sum)?;
        let [samples, elements] = [sum.shape()[0], sum.shape()[1]];
        let dims = Shape::from(vec![samples, 1, 1, elements]);
        all.push(Rows::Rows(B::float_reshape(sum, dims)));
    }
    Ok(all)
}

/// `[samples, elements]`
fn gradient<B: Backend>(
    probed: &Probed,
    tap: &Tap,
    x: Option<&Rows<B>>,
    g: FloatTensor<B>,
) -> Result<FloatTensor<B>, ExecuteError> {
    match &tap.role {
        Role::Broadcast(from) => Ok(collapsed::<B>(g, from, required(tap.samples)?)),
        Role::Bias(kind) => {
            let rows = of_layer::<B>(probed, tap, kind, g)?.over_places(false);
            let [samples, _, groups, width] = rows.sizes();
            Ok(B::float_reshape(rows.rows(), Shape::from(vec![samples, groups * width])))
        }
        Role::Weight(kind) => {
            let g = of_layer::<B>(probed, tap, kind, g)?;
            let x = required(x)?.for_samples(g.sizes()[0]);
            let products = x.products(&g);
            let [samples, groups, d_in, d_out] = dims4(&products);
            let products = if kind.is_stored_by_outputs() {
                B::float_swap_dims(products, 2, 3)
            } else {
                products
            };
            let elements = groups * d_in * d_out;
            Ok(B::float_reshape(products, Shape::from(vec![samples, elements])))
        }
    }
}

/// The gradient of a layer's output by samples and places.
fn of_layer<B: Backend>(
    probed: &Probed,
    tap: &Tap,
    kind: &LayerKind,
    g: FloatTensor<B>,
) -> Result<Rows<B>, ExecuteError> {
    let Some(Moves { moves, from }) = &tap.once else {
        return Ok(gather::of_tap::<B>(probed, tap, kind, g));
    };
    let mut g = collapsed::<B>(g, from, required(tap.samples)?);
    let samples = g.shape()[0];
    let with_samples = |shape: &[usize]| {
        let shape = std::iter::once(samples).chain(shape.iter().copied());
        Shape::from(shape.collect::<Vec<_>>())
    };
    g = B::float_reshape(g, with_samples(from));
    let mut width = from.last().copied();
    for (op, before) in moves.iter().rev() {
        g = match op {
            Op::SwapDims(a, b) => B::float_swap_dims(g, a + 1, b + 1),
            Op::Permute(axes) => {
                let place = |dim| axes.iter().position(|axis| *axis == dim).map(|at| at + 1);
                let back: Option<Vec<usize>> = (0..axes.len()).map(place).collect();
                let order = std::iter::once(0).chain(required(back)?);
                B::float_permute(g, &order.collect::<Vec<_>>())
            }
            _ => B::float_reshape(g, with_samples(before)),
        };
        width = before.last().copied();
    }
    let width = width.unwrap_or(1);
    let places = g.shape().num_elements() / (samples * width).max(1);
    Ok(Rows::Rows(B::float_reshape(g, Shape::from(vec![samples, places, 1, width]))))
}

fn dims4(tensor: &impl TensorMetadata) -> [usize; 4] {
    let shape = tensor.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

/// Summed for each sample over the dimensions along which a shape was broadcast.
fn collapsed<B: Backend>(
    g: FloatTensor<B>,
    from: &[usize],
    Samples { count, stride }: Samples,
) -> FloatTensor<B> {
    let shape = g.shape();
    let mut pieces: [Vec<usize>; 3] = Default::default(); // positions of samples, elements, the rest
    let mut sizes = Vec::new();
    let mut inner: usize = shape.num_elements();
    for (dim, &size) in shape.iter().enumerate() {
        inner /= size.max(1);
        let (low, high) = (inner.max(stride), (inner * size).min(count * stride));
        let own = (dim + from.len()).checked_sub(shape.num_dims()).map_or(1, |at| from[at]);
        let mut piece = |size: usize, kind: usize| {
            pieces[kind].push(sizes.len());
            sizes.push(size);
        };
        if count > 1 && high > low {
            piece(inner * size / high, 2);
            piece(high / low, 0);
            piece(low / inner, 2);
        } else {
            piece(size, if own > 1 { 1 } else { 2 });
        }
    }
    let total = |kind: usize| pieces[kind].iter().map(|&at| sizes[at]).product::<usize>();
    let dims = vec![total(0), total(1), total(2)];
    let split = B::float_reshape(g, Shape::from(sizes.clone()));
    let order: Vec<usize> = pieces.iter().flatten().copied().collect();
    let sorted = B::float_reshape(B::float_permute(split, &order), Shape::from(dims.clone()));
    let summed = B::float_sum_dim(sorted, 2);
    B::float_reshape(summed, Shape::from(vec![dims[0], dims[1]]))
}
