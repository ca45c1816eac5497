//! Operations that move elements.

use burn_backend::{Slice, ops::PadMode};

use super::{Case, Values, build, case, wave};
use crate::graph::{Kind, Op};

pub(super) fn cases() -> Vec<Case> {
    [Kind::Float, Kind::Int, Kind::Bool]
        .into_iter()
        .flat_map(|kind| [shapes(kind), parts(kind), joined(kind)].into_iter().flatten())
        .chain(pads())
        .collect()
}

/// A tensor of a kind without too many repetitions.
pub(super) fn sample(kind: Kind, shape: &[usize], seed: f64) -> Values {
    let x = wave(shape, seed);
    match kind {
        Kind::Float => x,
        Kind::Int => x.map(|x| (x * 50.0).round()).to(kind),
        Kind::Bool => x.map(|x| f64::from(u8::from(x > 0.0))).to(kind),
    }
}

fn shapes(kind: Kind) -> Vec<Case> {
    let x = sample(kind, &[2, 3, 4], 0.0);
    let reshaped = Values::of(kind, &[4, 6], x.data.clone());
    let swapped = build(kind, &[4, 3, 2], |i| x.at(&[i[2], i[1], i[0]]));
    let permuted = build(kind, &[4, 2, 3], |i| x.at(&[i[1], i[2], i[0]]));
    let flipped = build(kind, &[2, 3, 4], |i| x.at(&[1 - i[0], i[1], 3 - i[2]]));
    let row = sample(kind, &[1, 3, 1], 1.0);
    let expanded = build(kind, &[2, 3, 4], |i| row.at(&[0, i[1], 0]));
    let line = sample(kind, &[3], 2.0);
    let raised = build(kind, &[2, 3], |i| line.at(&[i[1]]));
    let unfolded = build(kind, &[2, 3, 2, 3], |i| x.at(&[i[0], i[1], i[2] + i[3]]));
    let stepped = build(kind, &[2, 2, 4, 1], |i| x.at(&[i[0], 2 * i[1], i[2]]));
    let windows = |dim, size, step| Op::Unfold { dim, size, step };
    vec![
        case(Op::Reshape, &[&x], &[&reshaped]),
        case(Op::SwapDims(0, 2), &[&x], &[&swapped]),
        case(Op::Permute(vec![2, 0, 1]), &[&x], &[&permuted]),
        case(Op::Flip(vec![0, 2]), &[&x], &[&flipped]),
        case(Op::Expand, &[&row], &[&expanded]),
        case(Op::Expand, &[&line], &[&raised]),
        case(windows(2, 3, 1), &[&x], &[&unfolded]),
        case(windows(1, 1, 2), &[&x], &[&stepped]),
    ]
}

fn parts(kind: Kind) -> Vec<Case> {
    let x = sample(kind, &[4, 6], 3.0);
    let ranges = vec![Slice::new(1, Some(3), 1), Slice::new(0, Some(6), 2)];
    let part = build(kind, &[2, 3], |i| x.at(&[1 + i[0], 2 * i[1]]));
    let new = sample(kind, &[2, 3], 4.0);
    let replaced = build(kind, &[4, 6], |i| {
        let inside = (1..3).contains(&i[0]) && i[1] % 2 == 0;
        if inside { new.at(&[i[0] - 1, i[1] / 2]) } else { x.at(i) }
    });
    let backwards = vec![Slice::new(0, None, -1), Slice::new(2, Some(4), 1)];
    let reversed = build(kind, &[4, 2], |i| x.at(&[3 - i[0], 2 + i[1]]));
    vec![
        case(Op::Slice(ranges.clone()), &[&x], &[&part]),
        case(Op::Slice(backwards), &[&x], &[&reversed]),
        case(Op::SliceAssign(ranges), &[&x, &new], &[&replaced]),
    ]
}

fn joined(kind: Kind) -> Vec<Case> {
    let x = sample(kind, &[2, 3], 5.0);
    let y = sample(kind, &[2, 2], 6.0);
    let both = build(kind, &[2, 7], |i| match i[1] {
        0..3 => x.at(i),
        3..5 => y.at(&[i[0], i[1] - 3]),
        _ => y.at(&[i[0], i[1] - 5]),
    });
    let repeated = build(kind, &[6, 3], |i| x.at(&[i[0] % 2, i[1]]));
    vec![
        case(Op::Cat(1), &[&x, &y, &y], &[&both]),
        case(Op::Cat(0), &[&x], &[&x]),
        case(Op::RepeatDim { dim: 0, times: 3 }, &[&x], &[&repeated]),
    ]
}

/// Where a padded position reads from, or nothing.
fn source(i: usize, before: usize, size: usize, mode: PadMode) -> Option<usize> {
    let (i, size) = (i as isize - before as isize, size as isize);
    let inside = (0..size).contains(&i);
    match mode {
        _ if inside => Some(i as usize),
        PadMode::Constant(_) => None,
        PadMode::Edge => Some(i.clamp(0, size - 1) as usize),
        PadMode::Reflect if i < 0 => Some(-i as usize),
        PadMode::Reflect => Some((2 * (size - 1) - i) as usize),
    }
}

fn pads() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [Kind::Float, Kind::Int] {
        let x = sample(kind, &[3, 4], 7.0);
        for mode in [PadMode::Constant(2.0), PadMode::Reflect, PadMode::Edge] {
            let expected = build(kind, &[3 + 1 + 2, 4 + 3], |i| {
                let row = source(i[0], 1, 3, mode);
                let column = source(i[1], 0, 4, mode);
                row.zip(column).map_or(2.0, |(row, column)| x.at(&[row, column]))
            });
            let padding = vec![(1, 2), (0, 3)];
            cases.push(case(Op::Pad { padding, mode }, &[&x], &[&expected]));
        }
    }
    cases
}
