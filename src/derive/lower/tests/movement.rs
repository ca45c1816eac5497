//! Operations that move elements without changing them.

use burn_backend::{Slice, ops::PadMode};

use super::{
    case::{Case, real},
    check_all,
};
use crate::graph::Op;

pub(super) fn cases() -> Vec<Case> {
    [shapes(), slices(), borders(), windows()].concat()
}

fn one(name: &str, op: Op, input: &[usize], output: &[usize]) -> Case {
    Case::new(name, op, vec![real(input)], output)
}

fn shapes() -> Vec<Case> {
    vec![
        one("reshape", Op::Reshape, &[2, 6], &[3, 4]),
        one("reshape with ones", Op::Reshape, &[2, 3], &[2, 1, 3, 1]),
        one("reshape to one dimension", Op::Reshape, &[2, 3], &[6]),
        one("swap dims", Op::SwapDims(0, 2), &[2, 3, 4], &[4, 3, 2]),
        one("permute", Op::Permute(vec![2, 0, 1]), &[2, 3, 4], &[4, 2, 3]),
        one("flip", Op::Flip(vec![0, 2]), &[2, 3, 4], &[2, 3, 4]),
        one("expand", Op::Expand, &[2, 1, 3], &[2, 4, 3]),
        one("expand with new dims", Op::Expand, &[1, 3], &[2, 4, 3]),
        one("repeat", Op::RepeatDim { dim: 1, times: 3 }, &[2, 2, 2], &[2, 6, 2]),
        one("repeat of size one", Op::RepeatDim { dim: 0, times: 3 }, &[1, 2], &[3, 2]),
        one("repeat of the last", Op::RepeatDim { dim: 2, times: 2 }, &[2, 2, 3], &[2, 2, 6]),
        Case::new("cat", Op::Cat(1), vec![real(&[2, 2]), real(&[2, 1]), real(&[2, 3])], &[2, 6]),
        Case::new("cat of the first", Op::Cat(0), vec![real(&[1, 3]), real(&[2, 3])], &[3, 3]),
    ]
}

fn slices() -> Vec<Case> {
    let part = || vec![Slice::new(0, Some(2), 1), Slice::new(1, Some(4), 1)];
    let stepped = || vec![Slice::new(0, None, 2), Slice::new(1, Some(4), 2)];
    let backwards = || vec![Slice::new(0, None, -1), Slice::new(0, Some(4), -2)];
    let assign = |name, slices, value: &[usize]| {
        Case::new(name, Op::SliceAssign(slices), vec![real(&[3, 5]), real(value)], &[3, 5])
    };
    vec![
        one("slice", Op::Slice(part()), &[3, 5], &[2, 3]),
        one("slice with steps", Op::Slice(stepped()), &[3, 5], &[2, 2]),
        one("slice backwards", Op::Slice(backwards()), &[3, 5], &[3, 2]),
        assign("slice assign", part(), &[2, 3]),
        assign("slice assign with steps", stepped(), &[2, 2]),
        assign("slice assign backwards", backwards(), &[3, 2]),
    ]
}

fn borders() -> Vec<Case> {
    let padding = || vec![(0, 0), (1, 2), (2, 1)];
    let pad = |name, mode| one(name, Op::Pad { padding: padding(), mode }, &[2, 3, 4], &[2, 6, 7]);
    vec![
        pad("pad with a constant", PadMode::Constant(0.5)),
        pad("pad by reflection", PadMode::Reflect),
        pad("pad by the edge", PadMode::Edge),
    ]
}

fn windows() -> Vec<Case> {
    let unfold = |name, dim, size, step, output: &[usize]| {
        one(name, Op::Unfold { dim, size, step }, &[2, 7, 3], output)
    };
    let patches = |name, kernel, stride, padding, dilation, output: &[usize]| {
        one(name, Op::Unfold4d { kernel, stride, padding, dilation }, &[2, 2, 5, 6], output)
    };
    vec![
        unfold("unfold", 1, 3, 1, &[2, 5, 3, 3]),
        unfold("unfold with gaps", 1, 2, 3, &[2, 2, 3, 2]),
        unfold("unfold without overlap", 1, 3, 3, &[2, 2, 3, 3]),
        unfold("unfold of the first", 0, 2, 1, &[1, 7, 3, 2]),
        patches("patches", [2, 3], [1, 1], [0, 0], [1, 1], &[2, 12, 16]),
        patches("patches with padding", [3, 2], [2, 1], [1, 1], [1, 2], &[2, 12, 18]),
    ]
}

#[test]
fn movement_is_differentiated_twice() {
    check_all(cases());
}
