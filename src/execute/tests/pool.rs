//! Pools and interpolation against naive loops in two dimensions, of which one is a special case.

use std::f64::consts::PI;

use super::{Case, Values, adjoint, build, case, floats, wave};
use crate::graph::{Interpolation, Kind, Op, PoolWindow};

pub(super) fn cases() -> Vec<Case> {
    [windows(), adaptive(), interpolations()].into_iter().flatten().collect()
}

/// Window per spatial dimension, always two of them.
#[derive(Clone, Copy)]
struct Window {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
}

impl Window {
    fn of(self, rank: usize) -> PoolWindow {
        PoolWindow {
            kernel: self.kernel[..rank].to_vec(),
            stride: self.stride[..rank].to_vec(),
            padding: self.padding[..rank].to_vec(),
            dilation: self.dilation[..rank].to_vec(),
            ceil_mode: false,
        }
    }

    fn size(self, d: usize, input: usize) -> usize {
        let reach = self.dilation[d] * (self.kernel[d] - 1) + 1;
        (input + 2 * self.padding[d] - reach) / self.stride[d] + 1
    }

    /// Positions that a window covers along a dimension, those in the padding left out.
    fn covers(self, d: usize, window: usize, input: usize) -> Vec<usize> {
        (0..self.kernel[d])
            .filter_map(|k| {
                let at = window * self.stride[d] + k * self.dilation[d];
                at.checked_sub(self.padding[d]).filter(|&at| at < input)
            })
            .collect()
    }
}

/// Applies a function to the (position, value) pairs of every window of a four-dimensional tensor.
fn pooled(x: &Values, kind: Kind, window: Window, f: impl Fn(&[(usize, f64)]) -> f64) -> Values {
    let [n, c, h, w] = [x.shape[0], x.shape[1], x.shape[2], x.shape[3]];
    build(kind, &[n, c, window.size(0, h), window.size(1, w)], |i| {
        let mut list = Vec::new();
        for &row in &window.covers(0, i[2], h) {
            for &column in &window.covers(1, i[3], w) {
                list.push((row * w + column, x.at(&[i[0], i[1], row, column])));
            }
        }
        f(&list)
    })
}

fn with_width(x: &Values) -> Values {
    let mut shape = x.shape.clone();
    shape.resize(4, 1);
    Values::of(x.kind, &shape, x.data.clone())
}

fn cut(x: Values, rank: usize) -> Values {
    Values::of(x.kind, &x.shape[..2 + rank], x.data)
}

fn windows() -> Vec<Case> {
    let plain = |kernel, stride, padding| Window { kernel, stride, padding, dilation: [1, 1] };
    let mut cases = Vec::new();
    for window in [
        plain([2, 2], [2, 2], [0, 0]),
        plain([3, 2], [2, 1], [1, 1]),
        plain([3, 3], [1, 2], [1, 0]),
    ] {
        cases.extend(averages(2, wave(&[2, 3, 6, 5], 0.0), window));
        cases.extend(maxima(2, wave(&[2, 3, 6, 5], 1.0), window));
        let one = Window {
            kernel: [window.kernel[0], 1],
            stride: [window.stride[0], 1],
            padding: [window.padding[0], 0],
            ..window
        };
        cases.extend(averages(1, wave(&[2, 3, 7], 2.0), one));
        cases.extend(maxima(1, wave(&[2, 3, 7], 3.0), one));
    }
    let dilated = Window { dilation: [2, 1], ..plain([2, 2], [1, 2], [0, 1]) };
    cases.extend(maxima(2, wave(&[1, 2, 6, 5], 4.0), dilated));
    cases
}

fn averages(rank: usize, x: Values, window: Window) -> Vec<Case> {
    let mut cases = Vec::new();
    for count_include_pad in [true, false] {
        let area = (window.kernel[0] * window.kernel[1]) as f64;
        let mean = |x: &Values| {
            let pool = pooled(&with_width(x), Kind::Float, window, |list| {
                let count = if count_include_pad { area } else { list.len() as f64 };
                list.iter().map(|(_, x)| x).sum::<f64>() / count
            });
            cut(pool, rank)
        };
        let expected = mean(&x);
        let grad = wave(&expected.shape, 5.0);
        let to_x = adjoint(&x.shape, &grad, mean);
        let window = window.of(rank);
        let op = Op::AvgPool { window: window.clone(), count_include_pad };
        cases.push(case(op, &[&x], &[&expected]));
        let op = Op::AvgPoolBackward { window, count_include_pad };
        cases.push(case(op, &[&x, &grad], &[&to_x]));
    }
    cases
}

fn maxima(rank: usize, x: Values, window: Window) -> Vec<Case> {
    let wide = with_width(&x);
    let best = |list: &[(usize, f64)]| {
        let pairs = list.iter().copied();
        pairs.reduce(|a, b| if b.1 > a.1 { b } else { a }).expect("no empty window")
    };
    let values = cut(pooled(&wide, Kind::Float, window, |list| best(list).1), rank);
    let indices = cut(pooled(&wide, Kind::Int, window, |list| best(list).0 as f64), rank);
    let grad = wave(&values.shape, 6.0);
    // The largest stay where they are, so the pool is linear: it reads fixed positions.
    let plane: usize = x.shape[2..].iter().product();
    let outputs: usize = values.shape[2..].iter().product();
    let to_x = adjoint(&x.shape, &grad, |unit| {
        let read = |i: usize| unit.data[i / outputs * plane + indices.data[i] as usize];
        floats(&values.shape, (0..values.data.len()).map(read).collect())
    });
    let op = |indices| Op::MaxPool { window: window.of(rank), indices };
    vec![
        case(op(false), &[&x], &[&values]),
        case(op(true), &[&x], &[&values, &indices]),
        case(Op::MaxPoolBackward(window.of(rank)), &[&x, &grad, &indices], &[&to_x]),
    ]
}

/// The range an adaptive window averages over.
fn range(i: usize, input: usize, output: usize) -> std::ops::Range<usize> {
    (i * input) / output..((i + 1) * input).div_ceil(output)
}

fn adaptive() -> Vec<Case> {
    let mut cases = Vec::new();
    for (input, output) in [
        (vec![2, 3, 7], vec![2, 3, 3]),
        (vec![2, 3, 6, 5], vec![2, 3, 3, 2]),
        (vec![2, 2, 4, 5, 3], vec![2, 2, 2, 3, 2]),
    ] {
        let x = wave(&input, 7.0);
        let pool = |x: &Values| {
            build(Kind::Float, &output, |i| {
                let ranges: Vec<_> =
                    (2..input.len()).map(|d| range(i[d], input[d], output[d])).collect();
                let sizes: Vec<usize> = ranges.iter().map(ExactSizeIterator::len).collect();
                let sum: f64 = super::indices(&sizes)
                    .iter()
                    .map(|offset| {
                        let place = ranges.iter().zip(offset).map(|(r, o)| r.start + o);
                        x.at(&i[..2].iter().copied().chain(place).collect::<Vec<_>>())
                    })
                    .sum();
                sum / sizes.iter().product::<usize>() as f64
            })
        };
        let expected = pool(&x);
        let grad = wave(&output, 8.0);
        let to_x = adjoint(&input, &grad, pool);
        cases.push(case(Op::AdaptiveAvgPool, &[&x], &[&expected]));
        cases.push(case(Op::AdaptiveAvgPoolBackward, &[&x, &grad], &[&to_x]));
    }
    cases
}

/// Positions and weights that an output position reads along one dimension.
fn taps(
    mode: Interpolation,
    align: bool,
    i: usize,
    input: usize,
    output: usize,
) -> Vec<(usize, f64)> {
    let scale = input as f64 / output as f64;
    let corner = (input - 1) as f64 / (output.max(2) - 1) as f64;
    let at = match (mode, align) {
        (Interpolation::Nearest, _) => return vec![((i as f64 * scale) as usize, 1.0)],
        (_, true) => i as f64 * corner,
        (_, false) => (i as f64 + 0.5) * scale - 0.5,
    };
    let cubic = |t: f64| match t.abs() {
        t if t <= 1.0 => (1.25 * t - 2.25) * t * t + 1.0,
        t if t < 2.0 => ((-0.75 * t + 3.75) * t - 6.0) * t + 3.0,
        _ => 0.0,
    };
    let sinc = |t: f64| {
        if t == 0.0 { 1.0 } else { (PI * t).sin() / (PI * t) }
    };
    let base = at.floor() as isize;
    let inside = |k: isize| k.clamp(0, input as isize - 1) as usize;
    match mode {
        Interpolation::Bilinear => {
            let at = at.clamp(0.0, (input - 1) as f64);
            let low = at.floor();
            let high = inside(low as isize + 1);
            vec![(low as usize, 1.0 - (at - low)), (high, at - low)]
        }
        Interpolation::Bicubic => {
            (base - 1..=base + 2).map(|k| (inside(k), cubic(at - k as f64))).collect()
        }
        _ => {
            let weight = |k: isize| sinc(at - k as f64) * sinc((at - k as f64) / 3.0);
            let reach = (base - 2..=base + 3).filter(|&k| k >= 0 && k < input as isize);
            let total: f64 = reach.clone().map(weight).sum();
            reach.map(|k| (k as usize, weight(k) / total)).collect()
        }
    }
}

fn interpolated(x: &Values, size: [usize; 2], mode: Interpolation, align: bool) -> Values {
    let [n, c, h, w] = [x.shape[0], x.shape[1], x.shape[2], x.shape[3]];
    build(Kind::Float, &[n, c, size[0], size[1]], |i| {
        let mut sum = 0.0;
        for (row, a) in taps(mode, align, i[2], h, size[0]) {
            for (column, b) in taps(mode, align, i[3], w, size[1]) {
                sum += a * b * x.at(&[i[0], i[1], row, column]);
            }
        }
        sum
    })
}

fn interpolations() -> Vec<Case> {
    let x = wave(&[2, 2, 4, 5], 9.0);
    let mut cases = Vec::new();
    for size in [[7, 9], [3, 2]] {
        for align_corners in [true, false] {
            for mode in [
                Interpolation::Nearest,
                Interpolation::Bilinear,
                Interpolation::Bicubic,
                Interpolation::Lanczos3,
            ] {
                let run = |x: &Values| interpolated(x, size, mode, align_corners);
                let expected = run(&x);
                let op = Op::Interpolate { mode, align_corners };
                cases.push(case(op, &[&x], &[&expected]));
                // Burn has no gradient of Lanczos interpolation.
                if mode != Interpolation::Lanczos3 {
                    let grad = wave(&expected.shape, 10.0);
                    let to_x = adjoint(&x.shape, &grad, run);
                    let op = Op::InterpolateBackward { mode, align_corners };
                    cases.push(case(op, &[&x, &grad], &[&to_x]));
                }
            }
        }
    }
    cases
}
