//! Operations that pick or replace elements by index or mask.

use burn_backend::tensor::IndexingUpdateOp;

use super::{Case, Values, bools, build, case, indices, ints, movement::sample};
use crate::graph::{Kind, Literal, Op};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [Kind::Float, Kind::Int, Kind::Bool] {
        cases.extend(picks(kind));
        cases.extend(masks(kind));
    }
    for kind in [Kind::Float, Kind::Int] {
        cases.extend(picks_nd(kind));
        for update in UPDATES {
            cases.extend(updates(kind, update));
        }
    }
    cases.extend(bool_updates());
    cases
}

const UPDATES: [IndexingUpdateOp; 5] = [
    IndexingUpdateOp::Assign,
    IndexingUpdateOp::Add,
    IndexingUpdateOp::Mul,
    IndexingUpdateOp::Min,
    IndexingUpdateOp::Max,
];

fn combine(update: IndexingUpdateOp, old: f64, new: f64) -> f64 {
    match update {
        IndexingUpdateOp::Assign => new,
        IndexingUpdateOp::Add => old + new,
        IndexingUpdateOp::Mul => old * new,
        IndexingUpdateOp::Min => old.min(new),
        IndexingUpdateOp::Max => old.max(new),
    }
}

fn picks(kind: Kind) -> Vec<Case> {
    let x = sample(kind, &[4, 3], 0.0);
    let rows = ints(&[2, 3], &[3, 0, 1, 1, 1, 2]);
    let gathered = build(kind, &[2, 3], |i| x.at(&[rows.at(i) as usize, i[1]]));
    let columns = ints(&[4, 2], &[2, 0, 1, 1, 0, 2, 2, 2]);
    let along = build(kind, &[4, 2], |i| x.at(&[i[0], columns.at(i) as usize]));
    let list = ints(&[5], &[3, 1, 1, 0, 2]);
    let selected = build(kind, &[5, 3], |i| x.at(&[list.data[i[0]] as usize, i[1]]));
    vec![
        case(Op::Gather(0), &[&x, &rows], &[&gathered]),
        case(Op::Gather(1), &[&x, &columns], &[&along]),
        case(Op::Select(0), &[&x, &list], &[&selected]),
    ]
}

fn picks_nd(kind: Kind) -> Vec<Case> {
    let x = sample(kind, &[4, 3, 2], 1.0);
    let pairs = ints(&[3, 2], &[3, 0, 1, 2, 0, 0]);
    let at = |row: usize| [pairs.at(&[row, 0]) as usize, pairs.at(&[row, 1]) as usize];
    let gathered = build(kind, &[3, 2], |i| x.at(&[at(i[0])[0], at(i[0])[1], i[1]]));
    vec![case(Op::GatherNd, &[&x, &pairs], &[&gathered])]
}

/// Positions are hit once each, so that every update is defined; `Add` also has one that is hit twice.
fn updates(kind: Kind, update: IndexingUpdateOp) -> Vec<Case> {
    let x = sample(kind, &[4, 3], 2.0);
    let value = sample(kind, &[2, 3], 3.0);
    let second_row = if update == IndexingUpdateOp::Add { 3 } else { 2 };
    let rows = ints(&[2, 3], &[3, 0, 1, second_row, 1, 0]);
    let mut scattered = x.clone();
    for i in indices(&[2, 3]) {
        let place = super::flat(&x.shape, &[rows.at(&i) as usize, i[1]]);
        scattered.data[place] = combine(update, scattered.data[place], value.at(&i));
    }
    let list = ints(&[2], &[2, if update == IndexingUpdateOp::Add { 2 } else { 0 }]);
    let mut selected = x.clone();
    let mut by_tuple = x.clone();
    for i in indices(&[2, 3]) {
        let place = super::flat(&x.shape, &[list.data[i[0]] as usize, i[1]]);
        selected.data[place] = combine(update, selected.data[place], value.at(&i));
        let place = super::flat(&x.shape, &[3 * i[0], i[1]]);
        by_tuple.data[place] = combine(update, by_tuple.data[place], value.at(&i));
    }
    let tuples = ints(&[2, 1], &[0, 3]);
    let mut cases = vec![case(Op::ScatterNd(update), &[&x, &tuples, &value], &[&by_tuple])];
    // Burn's backends have no other update for these two.
    if update == IndexingUpdateOp::Add {
        cases.push(case(Op::Scatter(0, update), &[&x, &rows, &value], &[&scattered]));
        let op = Op::SelectAssign(0, update);
        cases.push(case(op, &[&x, &list, &value], &[&selected]));
    }
    cases
}

fn bool_updates() -> Vec<Case> {
    let x = bools(&[3, 2], &[0, 1, 0, 0, 1, 0]);
    let rows = ints(&[2, 2], &[0, 0, 2, 1]);
    let value = bools(&[2, 2], &[1, 0, 0, 1]);
    let scattered = bools(&[3, 2], &[1, 1, 0, 1, 1, 0]);
    let list = ints(&[2], &[2, 1]);
    let selected = bools(&[3, 2], &[0, 1, 0, 1, 1, 0]);
    let add = IndexingUpdateOp::Add;
    vec![
        case(Op::Scatter(0, add), &[&x, &rows, &value], &[&scattered]),
        case(Op::SelectAssign(0, add), &[&x, &list, &value], &[&selected]),
    ]
}

fn masks(kind: Kind) -> Vec<Case> {
    let x = sample(kind, &[2, 3], 4.0);
    let value = sample(kind, &[2, 3], 5.0);
    let mask = bools(&[2, 3], &[1, 0, 0, 1, 1, 0]);
    let choose = |i: &[usize], new: f64| if mask.at(i) == 1.0 { new } else { x.at(i) };
    let replaced: Values = build(kind, &[2, 3], |i| choose(i, value.at(i)));
    let filled = build(kind, &[2, 3], |i| choose(i, 1.0));
    vec![
        case(Op::MaskWhere, &[&x, &mask, &value], &[&replaced]),
        case(Op::MaskFill(Literal::Float(1.0)), &[&x, &mask], &[&filled]),
    ]
}
