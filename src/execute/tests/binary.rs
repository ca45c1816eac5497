//! Functions of two operands, and comparisons.

use std::f64::consts::PI;

use super::{
    Case, Values, bools, build, case,
    elementwise::{normal_cdf, sigmoid},
    ints, wave, whole,
};
use crate::graph::{Binary, Comparison, Kind, Literal, Op};

type Function = fn(f64) -> f64;
type BinaryFunction = fn(f64, f64) -> f64;

pub(super) fn cases() -> Vec<Case> {
    [binary(), scalars(), comparisons()].into_iter().flatten().collect()
}

/// Element by element with broadcasting, as both shapes of one rank.
pub(super) fn zip(kind: Kind, x: &Values, y: &Values, f: impl Fn(f64, f64) -> f64) -> Values {
    let shape: Vec<usize> = x.shape.iter().zip(&y.shape).map(|(&a, &b)| a.max(b)).collect();
    let read = |values: &Values, index: &[usize]| {
        let clipped = index.iter().zip(&values.shape).map(|(&i, &n)| i.min(n - 1));
        values.at(&clipped.collect::<Vec<_>>())
    };
    build(kind, &shape, |index| f(read(x, index), read(y, index)))
}

fn binary() -> Vec<Case> {
    let x = wave(&[3, 4], 2.0);
    let row = wave(&[1, 4], 3.0);
    let positive = x.map(|x| 1.2 + x);
    let slopes = wave(&[1, 4], 4.0).map(|x| 0.3 + 0.1 * x);
    let sigmoids = x.map(sigmoid);
    let list: Vec<(Binary, &Values, &Values, BinaryFunction)> = vec![
        (Binary::Add, &x, &row, |x, y| x + y),
        (Binary::Sub, &x, &row, |x, y| x - y),
        (Binary::Mul, &x, &row, |x, y| x * y),
        (Binary::Div, &x, &row, |x, y| x / y),
        (Binary::Rem, &x, &row, |x, y| x - (x / y).floor() * y),
        (Binary::Powf, &positive, &row, |x, y| (y * x.ln()).exp()),
        (Binary::ArcTan2, &x, &row, f64::atan2),
        (Binary::Hypot, &x, &row, |x, y| (x * x + y * y).sqrt()),
        (Binary::PRelu, &x, &slopes, |x, a| if x < 0.0 { a * x } else { x }),
    ];
    let mut cases: Vec<Case> = list
        .into_iter()
        .map(|(function, x, y, f)| {
            case(Op::Binary(function), &[x, y], &[&zip(Kind::Float, x, y, f)])
        })
        .collect();
    let grad = wave(&[3, 4], 5.0);
    let relu = x.map(|x| x.max(0.0));
    let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
    let backward: Vec<(Binary, &Values, Values)> = vec![
        (
            Binary::ReluBackward,
            &relu,
            zip(Kind::Float, &x, &grad, |x, g| if x > 0.0 { g } else { 0.0 }),
        ),
        (
            Binary::GeluBackward,
            &x,
            zip(Kind::Float, &x, &grad, |x, g| g * (normal_cdf(x) + x * density(x))),
        ),
        (
            Binary::SigmoidBackward,
            &sigmoids,
            zip(Kind::Float, &x, &grad, |x, g| g * sigmoid(x) * sigmoid(-x)),
        ),
        (Binary::LogSigmoidBackward, &x, zip(Kind::Float, &x, &grad, |x, g| g * sigmoid(-x))),
    ];
    for (function, x, expected) in &backward {
        cases.push(case(Op::Binary(*function), &[x, &grad], &[expected]));
    }
    let exponents = ints(&[1, 4], &[2, 3, 0, 1]);
    let powers = zip(Kind::Float, &x, &exponents, |x, n| x.powi(n as i32));
    cases.push(case(Op::Binary(Binary::Powi), &[&x, &exponents], &[&powers]));
    cases.extend(binary_int_and_bool());
    cases
}

type IntFunction = fn(i64, i64) -> i64;

/// Remainder with the sign of the divisor, as for floats.
fn floor_remainder(x: i64, y: i64) -> i64 {
    let remainder = x % y;
    if remainder != 0 && (remainder < 0) != (y < 0) { remainder + y } else { remainder }
}

fn binary_int_and_bool() -> Vec<Case> {
    let x = whole(&[3, 4], 6.0).map(|x| x * 3.0);
    let y = ints(&[1, 4], &[5, -3, 2, 7]);
    let small = ints(&[1, 4], &[0, 1, 2, 3]);
    let list: Vec<(Binary, &Values, IntFunction)> = vec![
        (Binary::Add, &y, |x, y| x + y),
        (Binary::Sub, &y, |x, y| x - y),
        (Binary::Mul, &y, |x, y| x * y),
        (Binary::Div, &y, |x, y| x / y),
        (Binary::Rem, &y, floor_remainder),
        (Binary::And, &y, |x, y| x & y),
        (Binary::Or, &y, |x, y| x | y),
        (Binary::Xor, &y, |x, y| x ^ y),
        (Binary::Powi, &small, |x, y| x.pow(y as u32)),
        (Binary::ShiftLeft, &small, |x, y| x << y),
        (Binary::ShiftRight, &small, |x, y| x >> y),
    ];
    let mut cases = Vec::new();
    for (function, y, f) in &list {
        let exact = |x: f64, y: f64| f(x as i64, y as i64) as f64;
        let expected = zip(Kind::Int, &x, y, exact);
        cases.push(case(Op::Binary(*function), &[&x, y], &[&expected]));
    }
    for (function, _, f) in &list {
        let literal = 3;
        let expected = x.map(|x| f(x as i64, literal) as f64);
        let op = Op::BinaryScalar(*function, Literal::Int(literal));
        cases.push(case(op, &[&x], &[&expected]));
    }
    let a = bools(&[4], &[0, 0, 1, 1]);
    let b = bools(&[4], &[0, 1, 0, 1]);
    for (function, expected) in
        [(Binary::And, [0, 0, 0, 1]), (Binary::Or, [0, 1, 1, 1]), (Binary::Xor, [0, 1, 1, 0])]
    {
        let expected = bools(&[4], &expected);
        cases.push(case(Op::Binary(function), &[&a, &b], &[&expected]));
    }
    cases
}

fn scalars() -> Vec<Case> {
    let x = wave(&[2, 5], 7.0);
    let positive = x.map(|x| 1.2 + x);
    let list: Vec<(Binary, &Values, Literal, Function)> = vec![
        (Binary::Add, &x, Literal::Float(0.3), |x| x + 0.3),
        (Binary::Sub, &x, Literal::Float(0.3), |x| x - 0.3),
        (Binary::Mul, &x, Literal::Float(0.3), |x| x * 0.3),
        (Binary::Div, &x, Literal::Float(0.3), |x| x / 0.3),
        (Binary::Rem, &x, Literal::Float(0.3), |x| x - (x / 0.3).floor() * 0.3),
        (Binary::Powf, &positive, Literal::Float(1.7), |x| (1.7 * x.ln()).exp()),
        (Binary::Powi, &x, Literal::Int(3), |x| x * x * x),
        (Binary::Powi, &x, Literal::Int(-1), |x| 1.0 / x),
        (Binary::LeakyRelu, &x, Literal::Float(0.01), |x| if x < 0.0 { 0.01 * x } else { x }),
    ];
    list.into_iter()
        .map(|(function, x, y, f)| case(Op::BinaryScalar(function, y), &[x], &[&x.map(f)]))
        .collect()
}

type Predicate = fn(f64, f64) -> bool;

const COMPARISONS: [(Comparison, Predicate); 6] = [
    (Comparison::Equal, |x, y| x == y),
    (Comparison::NotEqual, |x, y| x != y),
    (Comparison::Greater, |x, y| x > y),
    (Comparison::GreaterEqual, |x, y| x >= y),
    (Comparison::Lower, |x, y| x < y),
    (Comparison::LowerEqual, |x, y| x <= y),
];

fn comparisons() -> Vec<Case> {
    let numbers = whole(&[3, 4], 8.0);
    let row = whole(&[1, 4], 9.0);
    let pivot = numbers.data[2];
    let mut cases = Vec::new();
    for (comparison, f) in COMPARISONS {
        let holds = |x: f64, y: f64| f64::from(u8::from(f(x, y)));
        for kind in [Kind::Float, Kind::Int] {
            let (x, y) = (numbers.to(kind), row.to(kind));
            let both = zip(Kind::Bool, &x, &y, holds);
            cases.push(case(Op::Compare(comparison), &[&x, &y], &[&both]));
            let scalar = x.map(|x| holds(x, pivot)).to(Kind::Bool);
            let op = Op::CompareScalar(comparison, Literal::Float(pivot));
            cases.push(case(op, &[&x], &[&scalar]));
        }
        if matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            let x = bools(&[4], &[0, 0, 1, 1]);
            let y = bools(&[4], &[0, 1, 0, 1]);
            let both = zip(Kind::Bool, &x, &y, holds);
            cases.push(case(Op::Compare(comparison), &[&x, &y], &[&both]));
            let op = Op::CompareScalar(comparison, Literal::Bool(true));
            cases.push(case(op, &[&x], &[&x.map(|x| holds(x, 1.0))]));
        }
    }
    cases
}
