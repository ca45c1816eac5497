//! Creation, functions of one operand, and others element by element.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use super::{Case, Values, bools, build, case, floats, indices, ints, wave, whole};
use crate::graph::{Kind, Literal, Op, Softmax, Unary};

type Function = fn(f64) -> f64;

pub(super) fn cases() -> Vec<Case> {
    [creation(), unary(), others()].into_iter().flatten().collect()
}

fn creation() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [Kind::Float, Kind::Int, Kind::Bool] {
        let filled = |x: f64| Values::of(kind, &[2, 3], vec![x; 6]);
        cases.push(case(Op::Zeros, &[], &[&filled(0.0)]));
        cases.push(case(Op::Ones, &[], &[&filled(1.0)]));
        cases.push(case(Op::Full(Literal::Bool(true)), &[], &[&filled(1.0)]));
    }
    let third = floats(&[4], vec![1.0 / 3.0; 4]);
    cases.push(case(Op::Full(Literal::Float(1.0 / 3.0)), &[], &[&third]));
    cases.push(case(Op::Full(Literal::Int(-7)), &[], &[&ints(&[2], &[-7, -7])]));
    cases
}

/// The error function by its Taylor series, which converges everywhere.
pub(super) fn erf(x: f64) -> f64 {
    let mut term = x;
    let mut sum = x;
    for n in 1..80 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    FRAC_2_SQRT_PI * sum
}

pub(super) fn normal_cdf(x: f64) -> f64 {
    0.5 * (1.0 + erf(x * FRAC_1_SQRT_2))
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn unary() -> Vec<Case> {
    let x = wave(&[3, 4], 0.0).map(|x| x * 0.93);
    let positive = x.map(|x| 1.1 + x);
    let large = x.map(|x| 1.5 + x.abs() * 3.0);
    let wide = x.map(|x| 3.7 * x);
    let list: Vec<(Unary, &Values, Function)> = vec![
        (Unary::Abs, &x, f64::abs),
        (Unary::Neg, &x, |x| -x),
        (Unary::Sign, &x, f64::signum),
        (Unary::Exp, &x, f64::exp),
        (Unary::Log, &positive, f64::ln),
        (Unary::Log1p, &x, f64::ln_1p),
        (Unary::Erf, &wide, erf),
        (Unary::Sqrt, &positive, f64::sqrt),
        (Unary::Recip, &positive, |x| 1.0 / x),
        (Unary::Sin, &wide, f64::sin),
        (Unary::Cos, &wide, f64::cos),
        (Unary::Tan, &x, |x| x.sin() / x.cos()),
        (Unary::Sinh, &x, |x| 0.5 * (x.exp() - (-x).exp())),
        (Unary::Cosh, &x, |x| 0.5 * (x.exp() + (-x).exp())),
        (Unary::Tanh, &x, |x| 2.0 * sigmoid(2.0 * x) - 1.0),
        (Unary::ArcSin, &x, |x| (x / (1.0 - x * x).sqrt()).atan()),
        (Unary::ArcCos, &x, |x| 0.5 * PI - (x / (1.0 - x * x).sqrt()).atan()),
        (Unary::ArcTan, &wide, f64::atan),
        (Unary::ArcSinh, &x, |x| (x + (x * x + 1.0).sqrt()).ln()),
        (Unary::ArcCosh, &large, |x| (x + (x * x - 1.0).sqrt()).ln()),
        (Unary::ArcTanh, &x, |x| 0.5 * ((1.0 + x) / (1.0 - x)).ln()),
        (Unary::Round, &wide, f64::round),
        (Unary::Floor, &wide, f64::floor),
        (Unary::Ceil, &wide, f64::ceil),
        (Unary::Trunc, &wide, f64::trunc),
        (Unary::Relu, &x, |x| x.max(0.0)),
        (Unary::Gelu, &wide, |x| x * normal_cdf(x)),
        (Unary::Sigmoid, &wide, sigmoid),
        (Unary::LogSigmoid, &wide, |x| sigmoid(x).ln()),
    ];
    let mut cases: Vec<Case> = list
        .into_iter()
        .map(|(function, x, f)| case(Op::Unary(function), &[x], &[&x.map(f)]))
        .collect();
    let strange = floats(&[4], vec![1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let nan = bools(&[4], &[0, 1, 0, 0]);
    let infinite = bools(&[4], &[0, 0, 1, 1]);
    cases.push(case(Op::Unary(Unary::IsNan), &[&strange], &[&nan]));
    cases.push(case(Op::Unary(Unary::IsInf), &[&strange], &[&infinite]));
    let n = whole(&[3, 4], 1.0);
    cases.push(case(Op::Unary(Unary::Abs), &[&n], &[&n.map(f64::abs)]));
    cases.push(case(Op::Unary(Unary::Neg), &[&n], &[&n.map(|x| 0.0 - x)]));
    let sign = n.map(|x| if x == 0.0 { 0.0 } else { x.signum() });
    cases.push(case(Op::Unary(Unary::Sign), &[&n], &[&sign]));
    cases.push(case(Op::Unary(Unary::Not), &[&n], &[&n.map(|x| -x - 1.0)]));
    let flags = bools(&[3], &[1, 0, 1]);
    cases.push(case(Op::Unary(Unary::Not), &[&flags], &[&flags.map(|x| 1.0 - x)]));
    cases
}

fn others() -> Vec<Case> {
    let x = wave(&[3, 4], 10.0).map(|x| 2.6 * x);
    let n = whole(&[3, 4], 11.0);
    let mut cases = Vec::new();
    for source in [&x, &n, &bools(&[3], &[1, 0, 1])] {
        for kind in [Kind::Float, Kind::Int, Kind::Bool] {
            if kind == Kind::Bool && source.kind != Kind::Bool {
                continue;
            }
            let expected = match kind {
                Kind::Int => source.map(f64::trunc),
                _ => source.clone(),
            };
            cases.push(case(Op::Cast, &[source], &[&expected.to(kind)]));
        }
    }
    let x = n.to(Kind::Float);
    cases.push(case(Op::StopGradient, &[&x], &[&x]));
    for kind in [Kind::Float, Kind::Int] {
        let x = n.to(kind);
        for (min, max) in
            [(Some(-2.0), Some(3.0)), (Some(-2.0), None), (None, Some(3.0)), (None, None)]
        {
            let expected = x.map(|x| x.max(min.unwrap_or(-1e9)).min(max.unwrap_or(1e9)));
            let op = Op::Clamp { min: min.map(Literal::Float), max: max.map(Literal::Float) };
            cases.push(case(op, &[&x], &[&expected]));
        }
    }
    let op = Op::HardSigmoid { alpha: Literal::Float(0.25), beta: Literal::Float(0.4) };
    cases.push(case(op, &[&x], &[&x.map(|x| (0.25 * x + 0.4).clamp(0.0, 1.0))]));
    for (function, sign, logarithm) in [
        (Softmax::Softmax, 1.0, false),
        (Softmax::LogSoftmax, 1.0, true),
        (Softmax::Softmin, -1.0, false),
    ] {
        for dim in [0, 1] {
            let y = x.map(|x| sign * x);
            let expected = build(Kind::Float, &y.shape, |index| {
                let along = indices(&y.shape);
                let same = along.iter().filter(|other| other[1 - dim] == index[1 - dim]);
                let total: f64 = same.map(|other| y.at(other).exp()).sum();
                let share = y.at(index).exp() / total;
                if logarithm { share.ln() } else { share }
            });
            cases.push(case(Op::Softmax(function, dim), &[&x], &[&expected]));
        }
    }
    cases
}
