//! Products, norms, attention and the CTC loss.

use super::{
    case::{Case, bools, ints, positive, real, small},
    check_all,
};
use crate::graph::{GridPadding, Interpolation, Op, WithRespectTo};

pub(super) fn cases() -> Vec<Case> {
    [products(), linear(), norms(), attention(), ctc(), grids()].concat()
}

fn products() -> Vec<Case> {
    let matmul = |name, left: &[usize], right: &[usize], output: &[usize]| {
        Case::new(name, Op::Matmul, vec![real(left), real(right)], output)
    };
    vec![
        matmul("matmul", &[2, 3], &[3, 4], &[2, 4]),
        matmul("matmul of batches", &[2, 2, 3], &[2, 3, 2], &[2, 2, 2]),
        matmul("matmul, right shared", &[2, 2, 3], &[1, 3, 4], &[2, 2, 4]),
        matmul("matmul, right shared by two batches", &[2, 2, 2, 3], &[1, 1, 3, 2], &[2, 2, 2, 2]),
        matmul("matmul, left shared", &[1, 2, 3], &[2, 3, 2], &[2, 2, 2]),
        matmul("matmul, both broadcast", &[2, 1, 2, 3], &[1, 3, 3, 2], &[2, 3, 2, 2]),
    ]
}

fn linear() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, x, y) in [
        ("rows", vec![2, 3], vec![2, 4]),
        ("batches", vec![2, 2, 3], vec![2, 2, 4]),
        ("two batches", vec![2, 1, 2, 3], vec![2, 1, 2, 4]),
    ] {
        let inputs = vec![real(&x), real(&[3, 4])];
        let with_bias = [inputs.clone(), vec![real(&[4])]].concat();
        cases.push(Case::new(&format!("linear of {name}"), Op::Linear { bias: false }, inputs, &y));
        cases.push(Case::new(
            &format!("linear with bias of {name}"),
            Op::Linear { bias: true },
            with_bias,
            &y,
        ));
    }
    let backward = |name, wrt, inputs, output: &[usize]| {
        Case::new(name, Op::LinearBackward(wrt), inputs, output)
    };
    cases.extend([
        backward(
            "linear by input",
            WithRespectTo::Input,
            vec![real(&[3, 4]), real(&[2, 2, 4])],
            &[2, 2, 3],
        ),
        backward(
            "linear by weight",
            WithRespectTo::Weight,
            vec![real(&[2, 2, 3]), real(&[2, 2, 4])],
            &[3, 4],
        ),
        backward("linear by bias", WithRespectTo::Bias, vec![real(&[2, 2, 4])], &[4]),
    ]);
    cases
}

fn norms() -> Vec<Case> {
    let batch = |name, shape: &[usize]| {
        let inputs = vec![real(shape), real(&[3]), real(&[3]), real(&[3]), positive(&[3])];
        Case::new(name, Op::BatchNorm { epsilon: 1e-5 }, inputs, shape)
    };
    let layer = |name, beta, shape: &[usize]| {
        let mut inputs = vec![real(shape), real(&[4])];
        inputs.extend(Some(real(&[4])).filter(|_| beta));
        Case::new(name, Op::LayerNorm { epsilon: 1e-5, beta }, inputs, shape)
    };
    vec![
        batch("batch norm of vectors", &[2, 3]),
        batch("batch norm of series", &[2, 3, 4]),
        batch("batch norm of images", &[2, 3, 2, 2]),
        layer("layer norm", true, &[2, 3, 4]),
        layer("layer norm without beta", false, &[3, 4]),
    ]
}

fn attention() -> Vec<Case> {
    let projections = || vec![real(&[1, 2, 3, 4]), real(&[1, 2, 5, 4]), small(&[1, 2, 5, 3])];
    let attend = |name, mask: Option<Vec<usize>>, bias: bool, softcap, is_causal, scale| {
        let mut inputs = projections();
        inputs.extend(mask.as_ref().map(|set| bools(&[1, 2, 3, 5], set)));
        inputs.extend(Some(real(&[1, 2, 3, 5])).filter(|_| bias));
        let op = Op::Attention { mask: mask.is_some(), attn_bias: bias, scale, softcap, is_causal };
        Case::new(name, op, inputs, &[1, 2, 3, 3])
    };
    vec![
        attend("attention", None, false, None, false, None),
        attend("attention with scale", None, false, None, false, Some(0.3)),
        attend("attention with mask", Some(vec![0, 7, 13, 22]), false, None, false, None),
        attend(
            "attention with a row masked",
            Some(vec![0, 1, 2, 3, 4, 11]),
            false,
            None,
            false,
            None,
        ),
        attend("attention with bias", None, true, None, false, None),
        attend("causal attention", None, false, None, true, None),
        attend("attention with softcap", None, false, Some(1.7), false, None),
        attend("attention with everything", Some(vec![1, 8, 20]), true, Some(1.7), true, Some(0.4)),
    ]
}

fn ctc() -> Vec<Case> {
    let case = |name, targets: &[i64], input_lengths: &[i64], target_lengths: &[i64], blank| {
        let inputs = vec![
            real(&[5, 2, 4]),
            ints(&[2, 2], targets),
            ints(&[2], input_lengths),
            ints(&[2], target_lengths),
        ];
        Case::new(name, Op::CtcLoss { blank }, inputs, &[2])
    };
    vec![
        case("ctc loss", &[1, 2, 3, 3], &[5, 5], &[2, 2], 0),
        case("ctc loss of several lengths", &[1, 2, 3, 3], &[4, 5], &[2, 1], 0),
        case("ctc loss with another blank", &[1, 0, 2, 1], &[5, 3], &[2, 2], 3),
        case("ctc loss of an empty target", &[1, 2, 3, 3], &[5, 4], &[0, 2], 0),
    ]
}

fn grids() -> Vec<Case> {
    let mut cases = Vec::new();
    for padding in [GridPadding::Zeros, GridPadding::Border, GridPadding::Reflection] {
        for align_corners in [true, false] {
            let op = Op::GridSample2d { mode: Interpolation::Bilinear, padding, align_corners };
            let name = format!("grid sample, {padding:?}, aligned {align_corners}");
            cases.push(Case::new(
                &name,
                op,
                vec![real(&[1, 2, 4, 5]), small(&[1, 3, 2, 2])],
                &[1, 2, 3, 2],
            ));
        }
    }
    cases
}

#[test]
fn layers_are_differentiated_twice() {
    check_all(cases());
}
