//! The gradients by single samples of parameters that are no weight or bias of a layer.

use burn_backend::{TensorMetadata, ops::FloatTensorOps};
use burn_capture::CaptureBackend as B;

use super::{Passes, Probed, Tensor, gather, rows};
use crate::{
    derive::{Arguments, adjoint_product, apply_recorded, required},
    error::Error,
    execute::ExecuteError,
    graph::{Op, ValueId, ValueType},
    kfac::layers::{BlockGroup, LayerKind, Moves, Role, Samples, Tap},
    tensor::reshape,
};

type Rows = rows::Rows<B>;

/// What a gradient at a tap is multiplied by.
#[derive(Default)]
pub(super) struct Times {
    /// The input of a layer.
    rows: Option<Rows>,
    /// The derivative of the function of the parameter that is broadcast in its place, `[1, elements]`.
    derivative: Option<Tensor>,
}

/// What the gradients at the taps of all blocks are multiplied by.
pub(super) fn factors(passes: &Passes<'_>) -> Result<Vec<Vec<Times>>, Error> {
    let mut inputs = passes.inputs_of_blocks();
    let mut of = |block: &BlockGroup, tap: &Tap| {
        let mut times = Times::default();
        if let Role::Weight(kind) = &tap.role {
            let x = required(inputs.next())?;
            times.rows = Some(passes.rows_of_tap(tap, (kind, &block.shape), x)?);
        }
        if let Some(function) = tap.function {
            times.derivative = Some(derivative(passes, block.parameter, function)?);
        }
        Ok(times)
    };
    let each = passes.probed.network.blocks.iter();
    each.map(|block| block.taps.iter().map(|tap| of(block, tap)).collect()).collect()
}

/// f′ of a parameter, for a function f of it element by element.
fn derivative(passes: &Passes<'_>, parameter: usize, function: ValueId) -> Result<Tensor, Error> {
    let (probed, device) = (passes.probed, &passes.device);
    let arguments = Arguments {
        program: &probed.program.returning(vec![function]),
        device,
        parameters: &probed.leaves(passes.given, device),
        batch: &passes.given.batch,
    };
    let ValueType { shape, dtype } = probed.program.value(function).clone();
    let ones = B::float_ones(shape.clone(), device, dtype.into());
    let gradients = adjoint_product(&arguments, ones, apply_recorded)?;
    let own = required(gradients.into_iter().nth(parameter))?;
    Ok(reshape::<B>(own, &[1, shape.num_elements()]))
}

/// The gradients of all blocks, a row of all elements for each cotangent and sample.
pub(super) fn gradients(
    probed: &Probed<'_>,
    factors: &[Vec<Times>],
    taps: &mut impl Iterator<Item = Tensor>,
) -> Result<Vec<Rows>, ExecuteError> {
    let mut all = Vec::with_capacity(probed.network.blocks.len());
    for (block, factors) in probed.network.blocks.iter().zip(factors) {
        let mut sum: Option<Tensor> = None;
        for ((tap, times), g) in block.taps.iter().zip(factors).zip(taps.by_ref()) {
            let mut term = gradient(probed, tap, times.rows.as_ref(), g)?;
            if let Some(derivative) = &times.derivative {
                term = B::float_mul(term, derivative.clone());
            }
            sum = sum.into_iter().chain([term]).reduce(B::float_add);
        }
        let sum = required(sum)?;
        let [samples, elements] = [sum.shape()[0], sum.shape()[1]];
        all.push(Rows::Rows(reshape::<B>(sum, &[samples, 1, 1, elements])));
    }
    Ok(all)
}

/// `[cotangents·samples, elements]`
fn gradient(
    probed: &Probed<'_>,
    tap: &Tap,
    x: Option<&Rows>,
    g: Tensor,
) -> Result<Tensor, ExecuteError> {
    match &tap.role {
        Role::Broadcast(from) => Ok(collapsed(g, from, required(tap.samples)?)),
        Role::Bias(kind) => {
            let rows = of_layer(probed, tap, kind, g)?.over_places(false);
            let [samples, _, groups, width] = rows.sizes();
            Ok(reshape::<B>(rows.rows(), &[samples, groups * width]))
        }
        Role::Weight(kind) => {
            let g = of_layer(probed, tap, kind, g)?;
            let x = required(x)?.for_samples(g.sizes()[0]);
            let mut products = x.products(&g);
            let [samples, groups, d_in, d_out] = rows::dims(&products);
            if kind.is_stored_by_outputs() {
                products = B::float_swap_dims(products, 2, 3);
            }
            Ok(reshape::<B>(products, &[samples, groups * d_in * d_out]))
        }
    }
}

/// The gradient of a layer's output by samples and places.
fn of_layer(
    probed: &Probed<'_>,
    tap: &Tap,
    kind: &LayerKind,
    g: Tensor,
) -> Result<Rows, ExecuteError> {
    let Some(Moves { moves, from }) = &tap.once else {
        return Ok(gather::of_tap(probed, tap, kind, g));
    };
    let mut g = collapsed(g, from, required(tap.samples)?);
    let samples = g.shape()[0];
    let with_samples = |g, shape: &[usize]| reshape::<B>(g, &[&[samples], shape].concat());
    g = with_samples(g, from);
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
            _ => with_samples(g, before),
        };
        width = before.last().copied();
    }
    let width = width.unwrap_or(1);
    let places = g.shape().num_elements() / (samples * width).max(1);
    Ok(Rows::Rows(reshape::<B>(g, &[samples, places, 1, width])))
}

/// Summed for each cotangent and sample over the dimensions along which a shape was broadcast.
fn collapsed(g: Tensor, from: &[usize], Samples { count, stride }: Samples) -> Tensor {
    let shape = g.shape();
    let (cotangents, shape) = (shape[0], &shape[1..]);
    let mut pieces = [vec![0], vec![], vec![]]; // positions of cotangents and samples, elements, the rest
    let mut sizes = vec![cotangents];
    let mut inner: usize = shape.iter().product();
    for (dim, &size) in shape.iter().enumerate() {
        inner /= size.max(1);
        let (low, high) = (inner.max(stride), (inner * size).min(count * stride));
        let own = (dim + from.len()).checked_sub(shape.len()).map_or(1, |at| from[at]);
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
    let dims = [total(0), total(1), total(2)];
    let split = reshape::<B>(g, &sizes);
    let order: Vec<usize> = pieces.iter().flatten().copied().collect();
    let sorted = reshape::<B>(B::float_permute(split, &order), &dims);
    reshape::<B>(B::float_sum_dim(sorted, 2), &dims[..2])
}
