//! Gradients of convolutions, differentiated again: a model may hold one, and programs of derivatives do.

use burn_backend::ops::{ConvOptions, ConvTransposeOptions};

use super::{
    case::{Case, real},
    check_all,
};
use crate::graph::{
    Convolution, ConvolutionTranspose, Op,
    WithRespectTo::{self, Bias, Input, Weight},
};

pub(super) fn cases() -> Vec<Case> {
    [plain(), transposed()].concat()
}

fn case(name: &str, op: Op, inputs: &[&[usize]], output: &[usize]) -> Case {
    Case::new(name, op, inputs.iter().map(|shape| real(shape)).collect(), output)
}

fn plain() -> Vec<Case> {
    let line = |to| Op::ConvBackward(Convolution::D1(ConvOptions::new([1], [0], [1], 1)), to);
    let image = |to: WithRespectTo| {
        Op::ConvBackward(Convolution::D2(ConvOptions::new([1, 1], [1, 0], [1, 1], 1)), to)
    };
    let (x, weight, y): (&[usize], &[usize], &[usize]) = (&[2, 2, 5], &[3, 2, 2], &[2, 3, 4]);
    let mut cases = vec![
        case("gradient by the input, 1-D", line(Input), &[x, weight, y], x),
        case("gradient by the weight, 1-D", line(Weight), &[x, weight, y], weight),
        case("gradient by the bias, 1-D", line(Bias), &[x, &[3], y], &[3]),
    ];
    let (x, weight, y): (&[usize], &[usize], &[usize]) =
        (&[2, 2, 3, 4], &[3, 2, 2, 2], &[2, 3, 4, 3]);
    cases.extend([
        case("gradient by the input, 2-D", image(Input), &[x, weight, y], x),
        case("gradient by the weight, 2-D", image(Weight), &[x, weight, y], weight),
        case("gradient by the bias, 2-D", image(Bias), &[x, &[3], y], &[3]),
    ]);
    cases
}

fn transposed() -> Vec<Case> {
    let options = ConvTransposeOptions::new([1], [0], [0], [1], 1);
    let op = |to| Op::ConvTransposeBackward(ConvolutionTranspose::D1(options.clone()), to);
    let (x, weight, y): (&[usize], &[usize], &[usize]) = (&[2, 3, 4], &[3, 2, 2], &[2, 2, 5]);
    vec![
        case("transposed gradient by the input", op(Input), &[weight, y], x),
        case("transposed gradient by the weight", op(Weight), &[x, weight, y], weight),
        case("transposed gradient by the bias", op(Bias), &[x, &[2], y], &[2]),
    ]
}

#[test]
fn gradients_of_convolutions_are_differentiated_twice() {
    check_all(cases());
}
