//! Gathers, scatters, selections and masks.

use burn_backend::tensor::IndexingUpdateOp as Update;

use super::{
    case::{Case, bools, ints, real},
    check_all,
};
use crate::graph::{Literal, Op};

pub(super) fn cases() -> Vec<Case> {
    [reads(), writes(), repeated_writes(), masks()].concat()
}

fn reads() -> Vec<Case> {
    vec![
        Case::new(
            "gather",
            Op::Gather(1),
            vec![real(&[2, 4]), ints(&[2, 3], &[0, 3, 3, 2, 0, 2])],
            &[2, 3],
        ),
        Case::new(
            "gather of the first",
            Op::Gather(0),
            vec![real(&[3, 2, 2]), ints(&[1, 2, 2], &[2, 0, 1, 1])],
            &[1, 2, 2],
        ),
        Case::new(
            "select",
            Op::Select(1),
            vec![real(&[2, 4, 3]), ints(&[5], &[3, 0, 0, 2, 3])],
            &[2, 5, 3],
        ),
        Case::new(
            "select of the first",
            Op::Select(0),
            vec![real(&[4, 3]), ints(&[2], &[3, 3])],
            &[2, 3],
        ),
        Case::new(
            "gather nd",
            Op::GatherNd,
            vec![real(&[3, 4]), ints(&[3, 2], &[0, 1, 2, 3, 0, 1])],
            &[3],
        ),
        Case::new(
            "gather nd of rows",
            Op::GatherNd,
            vec![real(&[3, 4]), ints(&[4, 1], &[0, 2, 2, 1])],
            &[4, 4],
        ),
        Case::new(
            "embedding",
            Op::Embedding,
            vec![real(&[4, 3]), ints(&[2, 3], &[0, 3, 3, 2, 0, 2])],
            &[2, 3, 3],
        ),
        Case::new(
            "embedding backward",
            Op::EmbeddingBackward,
            vec![real(&[4, 3]), real(&[2, 3, 3]), ints(&[2, 3], &[0, 3, 3, 2, 0, 2])],
            &[4, 3],
        ),
    ]
}

const UPDATES: [Update; 5] = [Update::Add, Update::Assign, Update::Mul, Update::Min, Update::Max];

/// `set` gives the indices of scatter, select-assign and scatter-nd.
fn scatters(what: &str, set: [&[i64]; 3]) -> Vec<Case> {
    let mut cases = Vec::new();
    for update in UPDATES {
        let [elements, slices, places] = set;
        cases.push(Case::new(
            &format!("scatter {update:?}, {what}"),
            Op::Scatter(1, update),
            vec![real(&[2, 4]), ints(&[2, 3], elements), real(&[2, 3])],
            &[2, 4],
        ));
        cases.push(Case::new(
            &format!("select assign {update:?}, {what}"),
            Op::SelectAssign(1, update),
            vec![real(&[2, 4, 2]), ints(&[3], slices), real(&[2, 3, 2])],
            &[2, 4, 2],
        ));
        cases.push(Case::new(
            &format!("scatter nd {update:?}, {what}"),
            Op::ScatterNd(update),
            vec![real(&[3, 2, 2]), ints(&[3, 2], places), real(&[3, 2])],
            &[3, 2, 2],
        ));
    }
    cases
}

fn writes() -> Vec<Case> {
    scatters("distinct", [&[0, 3, 1, 2, 0, 3], &[3, 0, 1], &[0, 1, 2, 0, 1, 1]])
}

fn repeated_writes() -> Vec<Case> {
    scatters("repeated", [&[0, 3, 3, 2, 2, 2], &[1, 0, 1], &[2, 1, 0, 1, 2, 1]])
}

fn masks() -> Vec<Case> {
    let fill = || Op::MaskFill(Literal::Float(0.7));
    vec![
        Case::new("mask fill", fill(), vec![real(&[2, 4]), bools(&[2, 4], &[0, 3, 6])], &[2, 4]),
        Case::new(
            "mask fill, mask broadcast",
            fill(),
            vec![real(&[2, 4]), bools(&[1, 4], &[1, 2])],
            &[2, 4],
        ),
        Case::new(
            "mask where",
            Op::MaskWhere,
            vec![real(&[2, 4]), bools(&[2, 4], &[0, 3, 6]), real(&[2, 4])],
            &[2, 4],
        ),
        Case::new(
            "mask where, value broadcast",
            Op::MaskWhere,
            vec![real(&[2, 4]), bools(&[2, 4], &[0, 3, 6]), real(&[1, 1])],
            &[2, 4],
        ),
        Case::new(
            "mask where, operand broadcast",
            Op::MaskWhere,
            vec![real(&[1, 4]), bools(&[2, 4], &[0, 3, 6]), real(&[2, 4])],
            &[2, 4],
        ),
    ]
}

#[test]
fn indexing_is_differentiated_twice() {
    check_all(cases());
}
