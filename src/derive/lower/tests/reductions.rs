//! Reductions, running reductions, orders and softmax.

use super::{
    case::{Case, real},
    check_all,
};
use crate::graph::{Cumulative, Op, Reduction, Softmax, SortOutputs};

pub(super) fn cases() -> Vec<Case> {
    [totals(), along(), orders(), normalized()].concat()
}

const SHAPE: [usize; 3] = [2, 5, 3];

fn one(name: &str, op: Op, output: &[usize]) -> Case {
    Case::new(name, op, vec![real(&SHAPE)], output)
}

fn totals() -> Vec<Case> {
    let kinds = [
        Reduction::Sum,
        Reduction::Mean,
        Reduction::Prod,
        Reduction::Max,
        Reduction::Min,
        Reduction::MaxAbs,
    ];
    kinds.into_iter().map(|kind| one(&format!("{kind:?} of all"), Op::Reduce(kind), &[1])).collect()
}

fn along() -> Vec<Case> {
    let kinds = [
        Reduction::Sum,
        Reduction::Mean,
        Reduction::Prod,
        Reduction::Max,
        Reduction::Min,
        Reduction::MaxAbs,
    ];
    let mut cases = Vec::new();
    for dim in 0..3 {
        let mut reduced = SHAPE;
        reduced[dim] = 1;
        for kind in kinds {
            cases.push(one(&format!("{kind:?} along {dim}"), Op::ReduceDim(kind, dim), &reduced));
        }
        for kind in [Cumulative::Sum, Cumulative::Prod, Cumulative::Min, Cumulative::Max] {
            cases.push(one(
                &format!("running {kind:?} along {dim}"),
                Op::Cumulative(kind, dim),
                &SHAPE,
            ));
        }
        for largest in [true, false] {
            let name = format!("extremum with indices along {dim}, largest {largest}");
            let case = one(&name, Op::ExtremumWithIndices { dim, largest }, &reduced);
            cases.push(case.with_indices(&reduced));
        }
    }
    cases.push(one("sum along two", Op::SumDims(vec![0, 2]), &[1, 5, 1]));
    cases
}

fn orders() -> Vec<Case> {
    let mut cases = Vec::new();
    for descending in [true, false] {
        let sort = |outputs| Op::Sort { dim: 1, descending, outputs };
        cases.push(one(
            &format!("sort, descending {descending}"),
            sort(SortOutputs::Values),
            &SHAPE,
        ));
        let name = format!("sort with indices, descending {descending}");
        cases.push(one(&name, sort(SortOutputs::Both), &SHAPE).with_indices(&SHAPE));
    }
    let top = |outputs| Op::TopK { dim: 1, k: 2, outputs };
    cases.push(one("top k", top(SortOutputs::Values), &[2, 2, 3]));
    cases.push(
        one("top k with indices", top(SortOutputs::Both), &[2, 2, 3]).with_indices(&[2, 2, 3]),
    );
    cases
}

fn normalized() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [Softmax::Softmax, Softmax::LogSoftmax, Softmax::Softmin] {
        for dim in 0..3 {
            cases.push(one(&format!("{kind:?} along {dim}"), Op::Softmax(kind, dim), &SHAPE));
        }
    }
    cases
}

#[test]
fn reductions_are_differentiated_twice() {
    check_all(cases());
}
