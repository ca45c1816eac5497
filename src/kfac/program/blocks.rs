//! The gradients by single samples of parameters that are no weight or bias of a layer.

use burn_backend::{Shape, TensorMetadata, ops::FloatTensorOps};
use burn_capture::CaptureBackend as B;

use super::{Probed, ProgramInputs, Tensor, gather, inputs, rows};
use crate::{
    derive::{Arguments, adjoint_product, apply_recorded, required},
    error::Error,
    execute::ExecuteError,
    graph::{Op, ValueId, ValueType},
    kfac::layers::{BlockGroup, LayerKind, Moves, Role, Samples, Tap},
    tensor::Operand,
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
pub(super) fn factors(
    probed: &Probed,
    given: &ProgramInputs<'_>,
    inputs: &mut impl Iterator<Item = Operand<B>>,
) -> Result<Vec<Vec<Times>>, Error> {
    let mut of = |block: &BlockGroup, tap: &Tap| {
        let mut times = Times::default();
        if let Role::Weight(kind) = &tap.role {
            let x = required(inputs.next())?;
            times.rows = Some(inputs::of_tap(probed, tap, (kind, &block.shape), x)?);
        }
        if let Some(function) = tap.function {
            times.derivative = Some(derivative(probed, given, block.parameter, function)?);
        }
        Ok(times)
    };
    let each = probed.blocks.iter();
    each.map(|block| block.taps.iter().map(|tap| of(block, tap)).collect()).collect()
}

/// f′ of a parameter, for a function f of it element by element.
fn derivative(
    probed: &Probed,
    given: &ProgramInputs<'_>,
    parameter: usize,
    function: ValueId,
) -> Result<Tensor, Error> {
    let arguments = Arguments {
        program: &probed.program.returning(vec![function]),
        device: given.device,
        parameters: &probed.leaves(given.inputs, given.device),
        batch: &given.inputs.batch,
    };
    let ValueType { shape, dtype } = probed.program.value(function).clone();
    let ones = B::float_ones(shape.clone(), given.device, dtype.into());
    let gradients = adjoint_product(&arguments, ones, apply_recorded)?;
    let own = required(gradients.into_iter().nth(parameter))?;
    Ok(B::float_reshape(own, Shape::from(vec![1, shape.num_elements()])))
}

/// The gradients of all blocks, a row of all elements for each cotangent and sample.
pub(super) fn gradients(
    probed: &Probed,
    factors: &[Vec<Times>],
    taps: &mut impl Iterator<Item = Tensor>,
) -> Result<Vec<Rows>, ExecuteError> {
    let mut all = Vec::with_capacity(probed.blocks.len());
    for (block, factors) in probed.blocks.iter().zip(factors) {
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
        let dims = Shape::from(vec![samples, 1, 1, elements]);
        all.push(Rows::Rows(B::float_reshape(sum, dims)));
    }
    Ok(all)
}

/// `[cotangents·samples, elements]`
fn gradient(
    probed: &Probed,
    tap: &Tap,
    x: Option<&Rows>,
    g: Tensor,
) -> Result<Tensor, ExecuteError> {
    match &tap.role {
        Role::Broadcast(from) => Ok(collapsed(g, from, required(tap.samples)?)),
        Role::Bias(kind) => {
            let rows = of_layer(probed, tap, kind, g)?.over_places(false);
            let [samples, _, groups, width] = rows.sizes();
            Ok(B::float_reshape(rows.rows(), Shape::from(vec![samples, groups * width])))
        }
        Role::Weight(kind) => {
            let g = of_layer(probed, tap, kind, g)?;
            let x = required(x)?.for_samples(g.sizes()[0]);
            let products = x.products(&g);
            let [samples, groups, d_in, d_out] = rows::dims(&products);
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
fn of_layer(probed: &Probed, tap: &Tap, kind: &LayerKind, g: Tensor) -> Result<Rows, ExecuteError> {
    let Some(Moves { moves, from }) = &tap.once else {
        return Ok(gather::of_tap(probed, tap, kind, g));
    };
    let mut g = collapsed(g, from, required(tap.samples)?);
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
    let dims = vec![total(0), total(1), total(2)];
    let split = B::float_reshape(g, Shape::from(sizes.clone()));
    let order: Vec<usize> = pieces.iter().flatten().copied().collect();
    let sorted = B::float_reshape(B::float_permute(split, &order), Shape::from(dims.clone()));
    let summed = B::float_sum_dim(sorted, 2);
    B::float_reshape(summed, Shape::from(vec![dims[0], dims[1]]))
}
