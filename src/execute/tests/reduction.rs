//! Reductions, running reductions, sorting.

use super::{Case, Values, bools, build, case, indices, wave};
use crate::graph::{Cumulative, Kind, Op, Reduction, SortOutputs};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // No element repeats along a dimension, so that every index is unique.
    let x = wave(&[3, 4], 0.0);
    let n = super::ints(&[3, 4], &[5, -2, 3, 9, 1, 4, -7, 2, 6, 8, 4, -3]);
    for x in [&x, &n] {
        for dim in [0, 1] {
            cases.extend(along(x, dim));
            cases.extend(sorted(x, dim));
            cases.extend(running(x, dim));
        }
        cases.extend(total(x));
    }
    cases.extend(truth());
    cases
}

/// The line through an index along a dimension.
fn line(x: &Values, dim: usize, index: &[usize]) -> Vec<f64> {
    (0..x.shape[dim])
        .map(|k| {
            let mut index = index.to_vec();
            index[dim] = k;
            x.at(&index)
        })
        .collect()
}

fn reduced(
    x: &Values,
    kind: Kind,
    dim: usize,
    size: usize,
    f: impl Fn(&[f64], usize) -> f64,
) -> Values {
    let mut shape = x.shape.clone();
    shape[dim] = size;
    build(kind, &shape, |index| f(&line(x, dim, index), index[dim]))
}

fn largest(list: &[f64]) -> f64 {
    list.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn smallest(list: &[f64]) -> f64 {
    list.iter().copied().fold(f64::INFINITY, f64::min)
}

fn position(list: &[f64], x: f64) -> f64 {
    list.iter().position(|&y| y == x).expect("an element") as f64
}

fn mean(list: &[f64], kind: Kind) -> f64 {
    let mean = list.iter().sum::<f64>() / list.len() as f64;
    if kind == Kind::Int { mean.trunc() } else { mean }
}

fn max_abs(list: &[f64]) -> f64 {
    list.iter().fold(0.0, |a: f64, x| a.max(x.abs()))
}

fn along(x: &Values, dim: usize) -> Vec<Case> {
    let kind = x.kind;
    let one = |f: &dyn Fn(&[f64]) -> f64| reduced(x, kind, dim, 1, |list, _| f(list));
    let index =
        |f: fn(&[f64]) -> f64| reduced(x, Kind::Int, dim, 1, |list, _| position(list, f(list)));
    let (max, min) = (one(&largest), one(&smallest));
    let (arg_max, arg_min) = (index(largest), index(smallest));
    let reduce =
        |reduction, expected: &Values| case(Op::ReduceDim(reduction, dim), &[x], &[expected]);
    let extremum = |largest, values: &Values, indices: &Values| {
        case(Op::ExtremumWithIndices { dim, largest }, &[x], &[values, indices])
    };
    vec![
        reduce(Reduction::Sum, &one(&|list| list.iter().sum())),
        reduce(Reduction::Mean, &one(&|list| mean(list, kind))),
        reduce(Reduction::Prod, &one(&|list| list.iter().product())),
        reduce(Reduction::Max, &max),
        reduce(Reduction::Min, &min),
        reduce(Reduction::MaxAbs, &one(&max_abs)),
        reduce(Reduction::ArgMax, &arg_max),
        reduce(Reduction::ArgMin, &arg_min),
        extremum(true, &max, &arg_max),
        extremum(false, &min, &arg_min),
    ]
}

fn total(x: &Values) -> Vec<Case> {
    let one = |value: f64| Values::of(x.kind, &[1], vec![value]);
    let reduce = |reduction, value| case(Op::Reduce(reduction), &[x], &[&one(value)]);
    let sum: f64 = x.data.iter().sum();
    let cube = Values::of(x.kind, &[3, 2, 2], x.data.clone());
    let sums = build(x.kind, &[1, 2, 1], |i| {
        let all = indices(&[3, 2, 2]);
        all.iter().filter(|j| j[1] == i[1]).map(|j| cube.at(j)).sum()
    });
    vec![
        reduce(Reduction::Sum, sum),
        reduce(Reduction::Mean, mean(&x.data, x.kind)),
        reduce(Reduction::Prod, x.data.iter().product()),
        reduce(Reduction::Max, largest(&x.data)),
        reduce(Reduction::Min, smallest(&x.data)),
        reduce(Reduction::MaxAbs, max_abs(&x.data)),
        case(Op::SumDims(vec![0, 2]), &[&cube], &[&sums]),
    ]
}

fn ranked(list: &[f64], descending: bool) -> Vec<f64> {
    let mut list = list.to_vec();
    list.sort_by(|a, b| if descending { b.total_cmp(a) } else { a.total_cmp(b) });
    list
}

fn sorted(x: &Values, dim: usize) -> Vec<Case> {
    let (kind, size) = (x.kind, x.shape[dim]);
    let mut cases = Vec::new();
    for descending in [false, true] {
        let values = reduced(x, kind, dim, size, |list, k| ranked(list, descending)[k]);
        let indices =
            reduced(x, Kind::Int, dim, size, |list, k| position(list, ranked(list, descending)[k]));
        let op = |outputs| Op::Sort { dim, descending, outputs };
        cases.push(case(op(SortOutputs::Values), &[x], &[&values]));
        cases.push(case(op(SortOutputs::Indices), &[x], &[&indices]));
        cases.push(case(op(SortOutputs::Both), &[x], &[&values, &indices]));
    }
    let k = 2;
    let values = reduced(x, kind, dim, k, |list, k| ranked(list, true)[k]);
    let indices = reduced(x, Kind::Int, dim, k, |list, k| position(list, ranked(list, true)[k]));
    let op = |outputs| Op::TopK { dim, k, outputs };
    cases.push(case(op(SortOutputs::Values), &[x], &[&values]));
    cases.push(case(op(SortOutputs::Indices), &[x], &[&indices]));
    cases.push(case(op(SortOutputs::Both), &[x], &[&values, &indices]));
    cases
}

fn running(x: &Values, dim: usize) -> Vec<Case> {
    let size = x.shape[dim];
    type Fold = fn(&[f64]) -> f64;
    let list: [(Cumulative, Fold); 4] = [
        (Cumulative::Sum, |list| list.iter().sum()),
        (Cumulative::Prod, |list| list.iter().product()),
        (Cumulative::Min, smallest),
        (Cumulative::Max, largest),
    ];
    list.into_iter()
        .map(|(function, f)| {
            let expected = reduced(x, x.kind, dim, size, |list, k| f(&list[..=k]));
            case(Op::Cumulative(function, dim), &[x], &[&expected])
        })
        .collect()
}

fn truth() -> Vec<Case> {
    let flags = bools(&[2, 3], &[1, 0, 1, 1, 0, 0]);
    let mut cases = Vec::new();
    for kind in [Kind::Float, Kind::Int, Kind::Bool] {
        let x = match kind {
            Kind::Bool => flags.clone(),
            _ => flags.map(|x| x * 3.0).to(kind),
        };
        let ones = x.map(|_| 1.0);
        let zeros = x.map(|_| 0.0);
        for (x, all, any) in [(&x, 0, 1), (&ones, 1, 1), (&zeros, 0, 0)] {
            cases.push(case(Op::Reduce(Reduction::All), &[x], &[&bools(&[1], &[all])]));
            cases.push(case(Op::Reduce(Reduction::Any), &[x], &[&bools(&[1], &[any])]));
        }
        let all = bools(&[1, 3], &[1, 0, 0]);
        let any = bools(&[1, 3], &[1, 0, 1]);
        cases.push(case(Op::ReduceDim(Reduction::All, 0), &[&x], &[&all]));
        cases.push(case(Op::ReduceDim(Reduction::Any, 0), &[&x], &[&any]));
    }
    cases
}
