//! Products and layers against sums written out.

use super::{Case, Values, adjoint, build, case, floats, indices, ints, wave, whole};
use crate::graph::{GridPadding, Interpolation, Kind, Op, WithRespectTo};

pub(super) fn cases() -> Vec<Case> {
    [products(), linear(), tables(), norms(), grids(), attentions(), ctc()]
        .into_iter()
        .flatten()
        .collect()
}

fn matmul(x: &Values, y: &Values) -> Values {
    let (rows, inner, columns) = (x.shape[1], x.shape[2], y.shape[2]);
    let batches = x.shape[0].max(y.shape[0]);
    build(x.kind, &[batches, rows, columns], |i| {
        let (bx, by) = (i[0].min(x.shape[0] - 1), i[0].min(y.shape[0] - 1));
        (0..inner).map(|k| x.at(&[bx, i[1], k]) * y.at(&[by, k, i[2]])).sum()
    })
}

fn products() -> Vec<Case> {
    let (x, y) = (wave(&[2, 3, 4], 0.0), wave(&[2, 4, 5], 1.0));
    let shared = wave(&[1, 4, 5], 2.0);
    let (n, m) = (whole(&[1, 3, 4], 3.0), whole(&[1, 4, 2], 4.0));
    let (a, b) = (wave(&[2, 3], 5.0), wave(&[2, 3], 6.0));
    let cross = build(Kind::Float, &[2, 3], |i| {
        let (j, k) = ((i[1] + 1) % 3, (i[1] + 2) % 3);
        a.at(&[i[0], j]) * b.at(&[i[0], k]) - a.at(&[i[0], k]) * b.at(&[i[0], j])
    });
    vec![
        case(Op::Matmul, &[&x, &y], &[&matmul(&x, &y)]),
        case(Op::Matmul, &[&x, &shared], &[&matmul(&x, &shared)]),
        case(Op::Matmul, &[&n, &m], &[&matmul(&n, &m)]),
        case(Op::Cross(1), &[&a, &b], &[&cross]),
    ]
}

fn affine(x: &Values, weight: &Values, bias: Option<&Values>) -> Values {
    build(Kind::Float, &[x.shape[0], x.shape[1], weight.shape[1]], |i| {
        let sum: f64 =
            (0..weight.shape[0]).map(|k| x.at(&[i[0], i[1], k]) * weight.at(&[k, i[2]])).sum();
        sum + bias.map_or(0.0, |bias| bias.data[i[2]])
    })
}

fn linear() -> Vec<Case> {
    let (x, weight, bias) = (wave(&[2, 3, 4], 7.0), wave(&[4, 5], 8.0), wave(&[5], 9.0));
    let grad = wave(&[2, 3, 5], 10.0);
    let to_x = adjoint(&x.shape, &grad, |x| affine(x, &weight, None));
    let to_weight = adjoint(&weight.shape, &grad, |w| affine(&x, w, None));
    let zero = x.map(|_| 0.0);
    let to_bias = adjoint(&bias.shape, &grad, |b| affine(&zero, &weight, Some(b)));
    let with_bias = affine(&x, &weight, Some(&bias));
    let without = affine(&x, &weight, None);
    vec![
        case(Op::Linear { bias: true }, &[&x, &weight, &bias], &[&with_bias]),
        case(Op::Linear { bias: false }, &[&x, &weight], &[&without]),
        case(Op::LinearBackward(WithRespectTo::Input), &[&weight, &grad], &[&to_x]),
        case(Op::LinearBackward(WithRespectTo::Weight), &[&x, &grad], &[&to_weight]),
        case(Op::LinearBackward(WithRespectTo::Bias), &[&grad], &[&to_bias]),
    ]
}

fn tables() -> Vec<Case> {
    let weights = wave(&[6, 3], 11.0);
    let words = ints(&[2, 4], &[0, 5, 2, 2, 1, 5, 5, 3]);
    let read = |weights: &Values| {
        build(Kind::Float, &[2, 4, 3], |i| weights.at(&[words.at(&i[..2]) as usize, i[2]]))
    };
    let expected = read(&weights);
    let grad = wave(&[2, 4, 3], 12.0);
    let to_weights = adjoint(&weights.shape, &grad, read);
    vec![
        case(Op::Embedding, &[&weights, &words], &[&expected]),
        case(Op::EmbeddingBackward, &[&weights, &grad, &words], &[&to_weights]),
    ]
}

fn norms() -> Vec<Case> {
    let x = wave(&[2, 3, 4], 13.0);
    let of_channel = |seed| wave(&[3], seed);
    let (gamma, beta, mean) = (of_channel(14.0), of_channel(15.0), of_channel(16.0));
    let variance = of_channel(17.0).map(|x| 1.5 + x);
    let epsilon = 1e-3;
    let batch = build(Kind::Float, &x.shape, |i| {
        let c = i[1];
        let scaled = (x.at(i) - mean.data[c]) / (variance.data[c] + epsilon).sqrt();
        scaled * gamma.data[c] + beta.data[c]
    });
    let (gain, shift) = (wave(&[4], 18.0), wave(&[4], 19.0));
    let layer = |with: f64| {
        build(Kind::Float, &x.shape, |i| {
            let row: Vec<f64> = (0..4).map(|k| x.at(&[i[0], i[1], k])).collect();
            let mean = row.iter().sum::<f64>() / 4.0;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4.0;
            let scaled = (x.at(i) - mean) / (variance + epsilon).sqrt();
            scaled * gain.data[i[2]] + with * shift.data[i[2]]
        })
    };
    let op = |beta| Op::LayerNorm { epsilon, beta };
    vec![
        case(Op::BatchNorm { epsilon }, &[&x, &gamma, &beta, &mean, &variance], &[&batch]),
        case(op(true), &[&x, &gain, &shift], &[&layer(1.0)]),
        case(op(false), &[&x, &gain], &[&layer(0.0)]),
    ]
}

/// Mirrors a coordinate into `[low, high]` by walking back and forth.
fn reflect(mut x: f64, low: f64, high: f64) -> f64 {
    while x < low || x > high {
        x = if x < low { 2.0 * low - x } else { 2.0 * high - x };
    }
    x
}

fn coordinate(x: f64, size: usize, padding: GridPadding, align: bool) -> f64 {
    let (n, last) = (size as f64, size as f64 - 1.0);
    let pixel = if align { (x + 1.0) * 0.5 * last } else { (x + 1.0) * 0.5 * n - 0.5 };
    match (padding, align) {
        (GridPadding::Zeros, _) => pixel,
        (GridPadding::Border, _) => pixel.clamp(0.0, last),
        (GridPadding::Reflection, true) => reflect(pixel, 0.0, last),
        (GridPadding::Reflection, false) => reflect(pixel, -0.5, last + 0.5).clamp(0.0, last),
    }
}

fn grids() -> Vec<Case> {
    let image = wave(&[2, 3, 4, 5], 20.0);
    let grid = wave(&[2, 3, 2, 2], 21.0).map(|x| 1.4 * x);
    let pixel = |n: usize, c: usize, row: f64, column: f64| {
        let inside = row >= 0.0 && column >= 0.0 && row < 4.0 && column < 5.0;
        if inside { image.at(&[n, c, row as usize, column as usize]) } else { 0.0 }
    };
    let mut cases = Vec::new();
    for padding in [GridPadding::Zeros, GridPadding::Border, GridPadding::Reflection] {
        for align_corners in [true, false] {
            let expected = build(Kind::Float, &[2, 3, 3, 2], |i| {
                let point = |k| grid.at(&[i[0], i[2], i[3], k]);
                let x = coordinate(point(0), 5, padding, align_corners);
                let y = coordinate(point(1), 4, padding, align_corners);
                let (fx, fy) = (x - x.floor(), y - y.floor());
                let read = |dy: f64, dx: f64| pixel(i[0], i[1], y.floor() + dy, x.floor() + dx);
                (1.0 - fy) * ((1.0 - fx) * read(0.0, 0.0) + fx * read(0.0, 1.0))
                    + fy * ((1.0 - fx) * read(1.0, 0.0) + fx * read(1.0, 1.0))
            });
            let op = |mode| Op::GridSample2d { mode, padding, align_corners };
            cases.push(case(op(Interpolation::Bilinear), &[&image, &grid], &[&expected]));
            let expected = build(Kind::Float, &[2, 3, 3, 2], |i| {
                let point = |k| grid.at(&[i[0], i[2], i[3], k]);
                let x = coordinate(point(0), 5, padding, align_corners);
                let y = coordinate(point(1), 4, padding, align_corners);
                pixel(i[0], i[1], y.round(), x.round())
            });
            cases.push(case(op(Interpolation::Nearest), &[&image, &grid], &[&expected]));
        }
    }
    cases
}

fn attentions() -> Vec<Case> {
    let (b, h, q, k, d, v) = (2, 2, 3, 3, 4, 5);
    let query = wave(&[b, h, q, d], 22.0);
    let key = wave(&[b, h, k, d], 23.0);
    let value = wave(&[b, h, k, v], 24.0);
    let bias = wave(&[b, h, q, k], 25.0);
    let hidden = build(Kind::Bool, &[b, h, q, k], |i| {
        f64::from(u8::from((i[0] + i[2] + 2 * i[3]) % 3 == 1))
    });
    let mut cases = Vec::new();
    for (mask, attn_bias, scale, softcap, is_causal) in [
        (false, false, None, None, false),
        (true, false, Some(0.3), None, false),
        (false, true, None, None, true),
        (true, true, Some(0.7), Some(1.5), false),
    ] {
        let expected = build(Kind::Float, &[b, h, q, v], |i| {
            let weight = |j: usize| {
                let at = [i[0], i[1], i[2], j];
                if mask && hidden.at(&at) == 1.0 || is_causal && j > i[2] {
                    return 0.0;
                }
                let dot: f64 = (0..d)
                    .map(|c| query.at(&[i[0], i[1], i[2], c]) * key.at(&[i[0], i[1], j, c]))
                    .sum();
                let mut score = dot * scale.unwrap_or(1.0 / (d as f64).sqrt());
                if let Some(cap) = softcap {
                    score = cap * f64::tanh(score / cap);
                }
                (score + if attn_bias { bias.at(&at) } else { 0.0 }).exp()
            };
            let total: f64 = (0..k).map(weight).sum();
            let sum: f64 = (0..k).map(|j| weight(j) * value.at(&[i[0], i[1], j, i[3]])).sum();
            sum / total
        });
        let op = Op::Attention { mask, attn_bias, scale, softcap, is_causal };
        let mut inputs = vec![&query, &key, &value];
        inputs.extend(mask.then_some(&hidden));
        inputs.extend(attn_bias.then_some(&bias));
        cases.push(case(op, &inputs, &[&expected]));
    }
    cases
}

/// The loss by enumeration: −ln Σ over all paths that collapse to the target.
fn ctc() -> Vec<Case> {
    let (steps, batch, classes) = (4, 2, 3);
    let scores = wave(&[steps, batch, classes], 26.0);
    let log_probs = build(Kind::Float, &[steps, batch, classes], |i| {
        let total: f64 = (0..classes).map(|c| scores.at(&[i[0], i[1], c]).exp()).sum();
        scores.at(i) - total.ln()
    });
    let targets = ints(&[2, 2], &[1, 2, 2, 0]);
    let (input_lengths, target_lengths) = (ints(&[2], &[4, 3]), ints(&[2], &[2, 1]));
    let loss = |n: usize| {
        let length = input_lengths.data[n] as usize;
        let target: Vec<usize> =
            (0..target_lengths.data[n] as usize).map(|k| targets.at(&[n, k]) as usize).collect();
        let paths = indices(&vec![classes; length]);
        let hits = paths.iter().filter(|path| {
            let mut path = path.to_vec();
            path.dedup();
            path.retain(|&c| c != 0);
            path == target
        });
        let total: f64 = hits
            .map(|path| {
                let sum: f64 =
                    path.iter().enumerate().map(|(t, &c)| log_probs.at(&[t, n, c])).sum();
                sum.exp()
            })
            .sum();
        -total.ln()
    };
    let expected = floats(&[2], vec![loss(0), loss(1)]);
    let inputs = [&log_probs, &targets, &input_lengths, &target_lengths];
    vec![case(Op::CtcLoss { blank: 0 }, &inputs, &[&expected])]
}
