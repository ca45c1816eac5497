//! Pools and interpolation.

use super::{
    case::{Case, real},
    check_all,
};
use crate::graph::{Interpolation, Op, PoolWindow};

pub(super) fn cases() -> Vec<Case> {
    [max_pools(), average_pools(), adaptive_pools(), interpolations()].concat()
}

/// Windows along one dimension of size `n`: kernel, stride, padding, dilation, ceil mode and the output's size.
type Window = (usize, usize, usize, usize, bool, usize);

fn window(axes: &[Window]) -> PoolWindow {
    PoolWindow {
        kernel: axes.iter().map(|axis| axis.0).collect(),
        stride: axes.iter().map(|axis| axis.1).collect(),
        padding: axes.iter().map(|axis| axis.2).collect(),
        dilation: axes.iter().map(|axis| axis.3).collect(),
        ceil_mode: axes.iter().any(|axis| axis.4),
    }
}

fn shapes(sizes: &[usize], axes: &[Window]) -> (Vec<usize>, Vec<usize>) {
    let input = [&[2, 2], sizes].concat();
    let output = [vec![2, 2], axes.iter().map(|axis| axis.5).collect()].concat();
    (input, output)
}

fn max_pools() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, sizes, axes) in [
        ("in one dimension", vec![7], vec![(2, 2, 0, 1, false, 3)]),
        ("overlapping in one dimension", vec![7], vec![(3, 2, 1, 1, false, 4)]),
        ("dilated in one dimension", vec![7], vec![(3, 1, 1, 2, false, 5)]),
        ("rounded up in one dimension", vec![7], vec![(2, 2, 0, 1, true, 4)]),
        ("in two dimensions", vec![4, 6], vec![(2, 2, 0, 1, false, 2), (2, 2, 0, 1, false, 3)]),
        ("overlapping", vec![5, 6], vec![(3, 1, 1, 1, false, 5), (2, 1, 0, 1, false, 5)]),
        ("dilated", vec![5, 6], vec![(2, 1, 1, 2, false, 5), (2, 2, 0, 3, false, 2)]),
        ("rounded up", vec![5, 6], vec![(2, 2, 0, 1, true, 3), (3, 2, 1, 1, true, 4)]),
    ] {
        let (input, output) = shapes(&sizes, &axes);
        for indices in [false, true] {
            let op = Op::MaxPool { window: window(&axes), indices };
            let case = Case::new(
                &format!("max pool {name}, indices {indices}"),
                op,
                vec![real(&input)],
                &output,
            );
            cases.push(if indices { case.with_indices(&output) } else { case });
        }
    }
    cases
}

fn average_pools() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, sizes, axes) in [
        ("in one dimension", vec![7], vec![(2, 2, 0, 1, false, 3)]),
        ("padded in one dimension", vec![7], vec![(3, 2, 1, 1, false, 4)]),
        ("rounded up in one dimension", vec![8], vec![(3, 2, 1, 1, true, 5)]),
        ("in two dimensions", vec![4, 6], vec![(2, 2, 0, 1, false, 2), (3, 3, 0, 1, false, 2)]),
        ("overlapping", vec![5, 6], vec![(3, 1, 1, 1, false, 5), (2, 1, 0, 1, false, 5)]),
        ("rounded up", vec![5, 6], vec![(2, 2, 0, 1, true, 3), (3, 2, 1, 1, true, 4)]),
    ] {
        let (input, output) = shapes(&sizes, &axes);
        for count_include_pad in [false, true] {
            let op = Op::AvgPool { window: window(&axes), count_include_pad };
            let name = format!("average pool {name}, padding counts {count_include_pad}");
            cases.push(Case::new(&name, op, vec![real(&input)], &output));
        }
    }
    cases
}

fn adaptive_pools() -> Vec<Case> {
    let pool = |name, input: &[usize], output: &[usize]| {
        Case::new(name, Op::AdaptiveAvgPool, vec![real(input)], output)
    };
    vec![
        pool("adaptive pool in one dimension", &[2, 2, 7], &[2, 2, 3]),
        pool("adaptive pool in two dimensions", &[2, 2, 5, 4], &[2, 2, 3, 4]),
        pool("adaptive pool to one", &[2, 2, 3, 4], &[2, 2, 1, 1]),
        pool("adaptive pool upwards", &[1, 2, 2, 3], &[1, 2, 5, 4]),
        pool("adaptive pool in three dimensions", &[1, 2, 3, 4, 5], &[1, 2, 2, 3, 1]),
    ]
}

fn interpolations() -> Vec<Case> {
    let mut cases = Vec::new();
    let modes = [
        Interpolation::Nearest,
        Interpolation::Bilinear,
        Interpolation::Bicubic,
        Interpolation::Lanczos3,
    ];
    for mode in modes {
        for align_corners in [true, false] {
            for (input, output) in
                [([4, 5], [7, 8]), ([6, 5], [3, 2]), ([3, 3], [1, 3]), ([1, 4], [3, 9])]
            {
                let op = Op::Interpolate { mode, align_corners };
                let name = format!(
                    "interpolate {mode:?} {input:?} to {output:?}, aligned {align_corners}"
                );
                let shape = |size: [usize; 2]| [2, 1, size[0], size[1]];
                cases.push(Case::new(&name, op, vec![real(&shape(input))], &shape(output)));
            }
        }
    }
    cases
}

#[test]
fn pools_are_differentiated_twice() {
    check_all(cases());
}
