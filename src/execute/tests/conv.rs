//! Convolutions against naive loops in three dimensions, of which one and two are special cases.

use burn_backend::ops::{ConvOptions, ConvTransposeOptions};

use super::{Case, Values, adjoint, build, case, floats, indices, wave};
use crate::graph::{Convolution, ConvolutionTranspose, Kind, Op, WithRespectTo};

/// Options per spatial dimension, always three of them.
#[derive(Clone, Copy)]
struct Options {
    stride: [usize; 3],
    padding: [(usize, usize); 3],
    padding_out: [usize; 3],
    dilation: [usize; 3],
    groups: usize,
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for rank in 1..=3 {
        for variant in 0..4 {
            cases.extend(forward(rank, variant));
            cases.extend(transpose(rank, variant));
        }
    }
    cases.push(unfold());
    cases
}

fn options(rank: usize, variant: usize) -> Options {
    let spread = |pattern: [usize; 3], rest: usize| {
        let mut values = [rest; 3];
        values[..rank].copy_from_slice(&pattern[..rank]);
        values
    };
    let padding = match variant {
        0 => [0; 3],
        _ => spread([1, 2, 1], 0),
    };
    Options {
        stride: if variant > 1 { spread([2, 1, 2], 1) } else { [1; 3] },
        padding: padding.map(|p| (p, p)),
        padding_out: if variant == 2 { spread([1, 0, 1], 0) } else { [0; 3] },
        dilation: if variant == 3 { spread([1, 2, 1], 1) } else { [1; 3] },
        groups: if variant == 1 { 2 } else { 1 },
    }
}

/// A shape with its spatial dimensions cut to the rank.
fn cut(shape: [usize; 5], rank: usize) -> Vec<usize> {
    shape[..2 + rank].to_vec()
}

/// The same data with three spatial dimensions.
fn full(x: &Values) -> Values {
    let mut shape = x.shape.clone();
    shape.resize(5, 1);
    Values::of(x.kind, &shape, x.data.clone())
}

fn naive(x: &Values, weight: &Values, bias: Option<&Values>, o: Options) -> Values {
    let (x, w) = (full(x), full(weight));
    let size = |d: usize| {
        let (before, after) = o.padding[d];
        let reach = o.dilation[d] * (w.shape[2 + d] - 1) + 1;
        (x.shape[2 + d] + before + after - reach) / o.stride[d] + 1
    };
    let kernel = indices(&w.shape[1..]);
    let channels = x.shape[1] / o.groups;
    let per_group = w.shape[0] / o.groups;
    let shape = [x.shape[0], w.shape[0], size(0), size(1), size(2)];
    build(Kind::Float, &shape, |i| {
        let mut sum = bias.map_or(0.0, |bias| bias.data[i[1]]);
        for k in &kernel {
            let place: [isize; 3] = std::array::from_fn(|d| {
                let at = i[2 + d] * o.stride[d] + k[1 + d] * o.dilation[d];
                at as isize - o.padding[d].0 as isize
            });
            let inside = (0..3).all(|d| (0..x.shape[2 + d] as isize).contains(&place[d]));
            if inside {
                let channel = i[1] / per_group * channels + k[0];
                let p = place.map(|p| p as usize);
                sum += x.at(&[i[0], channel, p[0], p[1], p[2]])
                    * w.at(&[i[1], k[0], k[1], k[2], k[3]]);
            }
        }
        sum
    })
}

fn naive_transpose(x: &Values, weight: &Values, bias: Option<&Values>, o: Options) -> Values {
    let (x, w) = (full(x), full(weight));
    let size = |d: usize| {
        let reach = o.dilation[d] * (w.shape[2 + d] - 1) + 1;
        (x.shape[2 + d] - 1) * o.stride[d] + reach + o.padding_out[d] - 2 * o.padding[d].0
    };
    let kernel = indices(&w.shape[1..]);
    let per_group = w.shape[1];
    let channels = x.shape[1] / o.groups;
    let shape = [x.shape[0], per_group * o.groups, size(0), size(1), size(2)];
    let mut out = build(Kind::Float, &shape, |i| bias.map_or(0.0, |bias| bias.data[i[1]]));
    for i in indices(&x.shape) {
        for k in &kernel {
            let place: [isize; 3] = std::array::from_fn(|d| {
                let at = i[2 + d] * o.stride[d] + k[1 + d] * o.dilation[d];
                at as isize - o.padding[d].0 as isize
            });
            let inside = (0..3).all(|d| (0..shape[2 + d] as isize).contains(&place[d]));
            if inside {
                let channel = i[1] / channels * per_group + k[0];
                let p = place.map(|p| p as usize);
                let target = super::flat(&shape, &[i[0], channel, p[0], p[1], p[2]]);
                out.data[target] += x.at(&i) * w.at(&[i[1], k[0], k[1], k[2], k[3]]);
            }
        }
    }
    out
}

/// The result with the spatial dimensions of the rank only.
fn flattened(x: Values, rank: usize) -> Values {
    floats(&x.shape[..2 + rank], x.data)
}

fn convolution(rank: usize, o: Options) -> Convolution {
    fn of<const N: usize>(o: Options) -> ConvOptions<N> {
        ConvOptions {
            stride: std::array::from_fn(|d| o.stride[d]),
            padding: std::array::from_fn(|d| o.padding[d]),
            dilation: std::array::from_fn(|d| o.dilation[d]),
            groups: o.groups,
        }
    }
    match rank {
        1 => Convolution::D1(of(o)),
        2 => Convolution::D2(of(o)),
        _ => Convolution::D3(of(o)),
    }
}

fn transposed(rank: usize, o: Options) -> ConvolutionTranspose {
    fn of<const N: usize>(o: Options) -> ConvTransposeOptions<N> {
        ConvTransposeOptions {
            stride: std::array::from_fn(|d| o.stride[d]),
            padding: std::array::from_fn(|d| o.padding[d].0),
            padding_out: std::array::from_fn(|d| o.padding_out[d]),
            dilation: std::array::from_fn(|d| o.dilation[d]),
            groups: o.groups,
        }
    }
    match rank {
        1 => ConvolutionTranspose::D1(of(o)),
        2 => ConvolutionTranspose::D2(of(o)),
        _ => ConvolutionTranspose::D3(of(o)),
    }
}

fn forward(rank: usize, variant: usize) -> Vec<Case> {
    let mut o = options(rank, variant);
    let x = wave(&cut([2, 4, 5, 4, 3], rank), 0.0);
    let weight = wave(&cut([4, 4 / o.groups, 3, 2, 2], rank), 1.0);
    let bias = wave(&[4], 2.0);
    let mut cases = Vec::new();
    let conv = |o| convolution(rank, o);
    let run = |x: &Values, w: &Values, b: Option<&Values>, o| flattened(naive(x, w, b, o), rank);
    let expected = run(&x, &weight, Some(&bias), o);
    let op = |bias, o| Op::Conv { conv: conv(o), bias };
    cases.push(case(op(true, o), &[&x, &weight, &bias], &[&expected]));
    cases.push(case(op(false, o), &[&x, &weight], &[&run(&x, &weight, None, o)]));
    let grad = wave(&expected.shape, 3.0);
    let to_x = adjoint(&x.shape, &grad, |x| run(x, &weight, None, o));
    let to_weight = adjoint(&weight.shape, &grad, |w| run(&x, w, None, o));
    let zero = x.map(|_| 0.0);
    let to_bias = adjoint(&bias.shape, &grad, |b| run(&zero, &weight, Some(b), o));
    let backward = |to| Op::ConvBackward(conv(o), to);
    cases.push(case(backward(WithRespectTo::Input), &[&x, &weight, &grad], &[&to_x]));
    cases.push(case(backward(WithRespectTo::Weight), &[&x, &weight, &grad], &[&to_weight]));
    cases.push(case(backward(WithRespectTo::Bias), &[&x, &bias, &grad], &[&to_bias]));
    if variant == 1 && rank < 3 {
        o.padding[0] = (0, 2);
        let expected = run(&x, &weight, Some(&bias), o);
        cases.push(case(op(true, o), &[&x, &weight, &bias], &[&expected]));
    }
    cases
}

fn transpose(rank: usize, variant: usize) -> Vec<Case> {
    let o = options(rank, variant);
    let x = wave(&cut([2, 4, 3, 4, 3], rank), 4.0);
    let weight = wave(&cut([4, 6 / o.groups, 3, 3, 2], rank), 5.0);
    let bias = wave(&[6], 6.0);
    let run =
        |x: &Values, w: &Values, b: Option<&Values>| flattened(naive_transpose(x, w, b, o), rank);
    let expected = run(&x, &weight, Some(&bias));
    let op = |bias| Op::ConvTranspose { conv: transposed(rank, o), bias };
    let grad = wave(&expected.shape, 7.0);
    let to_x = adjoint(&x.shape, &grad, |x| run(x, &weight, None));
    let to_weight = adjoint(&weight.shape, &grad, |w| run(&x, w, None));
    let zero = x.map(|_| 0.0);
    let to_bias = adjoint(&bias.shape, &grad, |b| run(&zero, &weight, Some(b)));
    let backward = |to| Op::ConvTransposeBackward(transposed(rank, o), to);
    vec![
        case(op(true), &[&x, &weight, &bias], &[&expected]),
        case(op(false), &[&x, &weight], &[&run(&x, &weight, None)]),
        case(backward(WithRespectTo::Input), &[&weight, &grad], &[&to_x]),
        case(backward(WithRespectTo::Weight), &[&x, &weight, &grad], &[&to_weight]),
        case(backward(WithRespectTo::Bias), &[&x, &bias, &grad], &[&to_bias]),
    ]
}

fn unfold() -> Case {
    let x = wave(&[2, 3, 4, 5], 8.0);
    let (kernel, stride, padding, dilation) = ([2, 3], [2, 1], [1, 0], [1, 2]);
    let (rows, columns) = ((4 + 2 - 2) / 2 + 1, 1);
    let expected = build(Kind::Float, &[2, 18, rows * columns], |i| {
        let (channel, offset) = (i[1] / 6, i[1] % 6);
        let row = (i[2] / columns) * 2 + offset / 3;
        let column = (i[2] % columns) + 2 * (offset % 3);
        match row.checked_sub(1) {
            Some(row) if row < 4 && column < 5 => x.at(&[i[0], channel, row, column]),
            _ => 0.0,
        }
    });
    let op = Op::Unfold4d { kernel, stride, padding, dilation };
    case(op, &[&x], &[&expected])
}
