//! Convolutions in one to three dimensions, and transposed ones.

use burn_backend::ops::{ConvOptions, ConvTransposeOptions};

use super::{
    case::{Case, real},
    check_all,
};
use crate::graph::{Convolution, ConvolutionTranspose, Op};

pub(super) fn cases() -> Vec<Case> {
    let plain = [one_dimension(), two_dimensions(), three_dimensions()].concat();
    let transposed = [transposed_one(), transposed_two(), transposed_three()].concat();
    [plain, transposed].concat()
}

/// With and without a bias of `channels`.
fn both(
    name: &str,
    op: impl Fn(bool) -> Op,
    x: &[usize],
    weight: &[usize],
    channels: usize,
    y: &[usize],
) -> Vec<Case> {
    let inputs = |bias: bool| {
        let bias = Some(real(&[channels])).filter(|_| bias);
        [real(x), real(weight)].into_iter().chain(bias).collect()
    };
    let case = |bias| Case::new(&format!("{name}, bias {bias}"), op(bias), inputs(bias), y);
    vec![case(true), case(false)]
}

fn one_dimension() -> Vec<Case> {
    let conv = |name, options: ConvOptions<1>, weight: &[usize], y: &[usize]| {
        let op = |bias| Op::Conv { conv: Convolution::D1(options.clone()), bias };
        both(&format!("conv1d {name}"), op, &[2, 4, 7], weight, y[1], y)
    };
    [
        conv("plain", ConvOptions::new([1], [0], [1], 1), &[3, 4, 3], &[2, 3, 5]),
        conv("strided", ConvOptions::new([2], [1], [1], 1), &[3, 4, 2], &[2, 3, 4]),
        conv("dilated", ConvOptions::new([1], [2], [2], 1), &[3, 4, 3], &[2, 3, 7]),
        conv("grouped", ConvOptions::new([1], [1], [1], 2), &[4, 2, 3], &[2, 4, 7]),
        conv(
            "grouped, stride does not divide",
            ConvOptions::new([3], [0], [1], 2),
            &[4, 2, 2],
            &[2, 4, 2],
        ),
        conv(
            "padded unevenly",
            ConvOptions::new_with_padding([2], [(2, 1)], [1], 1),
            &[3, 4, 3],
            &[2, 3, 4],
        ),
    ]
    .concat()
}

fn two_dimensions() -> Vec<Case> {
    let conv = |name, options: ConvOptions<2>, weight: &[usize], y: &[usize]| {
        let op = |bias| Op::Conv { conv: Convolution::D2(options.clone()), bias };
        both(&format!("conv2d {name}"), op, &[2, 2, 5, 6], weight, y[1], y)
    };
    let uneven = ConvOptions::new_with_padding([1, 2], [(1, 0), (0, 2)], [1, 1], 1);
    [
        conv("plain", ConvOptions::new([1, 1], [0, 0], [1, 1], 1), &[3, 2, 3, 2], &[2, 3, 3, 5]),
        conv("padded", ConvOptions::new([1, 1], [1, 1], [1, 1], 1), &[2, 2, 3, 3], &[2, 2, 5, 6]),
        conv("strided", ConvOptions::new([2, 3], [1, 0], [1, 1], 1), &[3, 2, 3, 2], &[2, 3, 3, 2]),
        conv(
            "strided, nothing left over",
            ConvOptions::new([2, 2], [1, 0], [1, 1], 1),
            &[3, 2, 3, 2],
            &[2, 3, 3, 3],
        ),
        conv("dilated", ConvOptions::new([1, 1], [1, 2], [2, 2], 1), &[3, 2, 2, 3], &[2, 3, 5, 6]),
        conv(
            "by channel",
            ConvOptions::new([1, 1], [1, 1], [1, 1], 2),
            &[4, 1, 3, 3],
            &[2, 4, 5, 6],
        ),
        conv(
            "by channel, strided",
            ConvOptions::new([2, 3], [0, 1], [1, 1], 2),
            &[2, 1, 2, 2],
            &[2, 2, 2, 3],
        ),
        conv(
            "grouped, strided, padded",
            ConvOptions::new([3, 2], [1, 2], [1, 1], 2),
            &[4, 1, 2, 3],
            &[2, 4, 2, 4],
        ),
        conv(
            "of one pixel",
            ConvOptions::new([1, 1], [0, 0], [1, 1], 1),
            &[3, 2, 1, 1],
            &[2, 3, 5, 6],
        ),
        conv("padded unevenly", uneven, &[2, 2, 3, 2], &[2, 2, 4, 4]),
    ]
    .concat()
}

fn three_dimensions() -> Vec<Case> {
    let conv = |name, options: ConvOptions<3>, weight: &[usize], y: &[usize]| {
        let op = |bias| Op::Conv { conv: Convolution::D3(options.clone()), bias };
        both(&format!("conv3d {name}"), op, &[1, 2, 4, 3, 4], weight, y[1], y)
    };
    let uneven = ConvOptions::new_with_padding([1, 2, 1], [(1, 0), (0, 1), (0, 0)], [1; 3], 1);
    [
        conv(
            "plain",
            ConvOptions::new([1; 3], [0; 3], [1; 3], 1),
            &[2, 2, 2, 2, 2],
            &[1, 2, 3, 2, 3],
        ),
        conv(
            "strided",
            ConvOptions::new([2, 1, 2], [1, 0, 1], [1; 3], 1),
            &[2, 2, 3, 2, 2],
            &[1, 2, 2, 2, 3],
        ),
        conv(
            "dilated",
            ConvOptions::new([1; 3], [1, 1, 0], [2, 2, 1], 1),
            &[2, 2, 2, 2, 2],
            &[1, 2, 4, 3, 3],
        ),
        conv(
            "grouped",
            ConvOptions::new([1, 2, 1], [0, 1, 0], [1; 3], 2),
            &[2, 1, 2, 2, 2],
            &[1, 2, 3, 2, 3],
        ),
        conv(
            "grouped, stride does not divide",
            ConvOptions::new([3, 2, 2], [1, 0, 1], [1; 3], 2),
            &[2, 1, 2, 2, 2],
            &[1, 2, 2, 1, 3],
        ),
        conv("padded unevenly", uneven, &[1, 2, 2, 2, 2], &[1, 1, 4, 2, 3]),
    ]
    .concat()
}

fn transposed_one() -> Vec<Case> {
    let conv = |name, options: ConvTransposeOptions<1>, weight: &[usize], y: &[usize]| {
        let op = |bias| Op::ConvTranspose { conv: ConvolutionTranspose::D1(options.clone()), bias };
        both(&format!("conv transpose 1d {name}"), op, &[2, 4, 4], weight, y[1], y)
    };
    [
        conv("plain", ConvTransposeOptions::new([1], [0], [0], [1], 1), &[4, 3, 3], &[2, 3, 6]),
        conv("strided", ConvTransposeOptions::new([2], [1], [1], [1], 1), &[4, 2, 3], &[2, 2, 8]),
        conv(
            "dilated, output padded",
            ConvTransposeOptions::new([1], [0], [1], [2], 1),
            &[4, 3, 3],
            &[2, 3, 9],
        ),
        conv(
            "padded, dilated, output padded",
            ConvTransposeOptions::new([2], [2], [2], [3], 1),
            &[4, 2, 2],
            &[2, 2, 8],
        ),
        conv(
            "grouped and dilated",
            ConvTransposeOptions::new([1], [1], [0], [2], 2),
            &[4, 1, 3],
            &[2, 2, 6],
        ),
        conv(
            "grouped and strided",
            ConvTransposeOptions::new([3], [0], [2], [1], 2),
            &[4, 2, 2],
            &[2, 4, 13],
        ),
    ]
    .concat()
}

fn transposed_two() -> Vec<Case> {
    let conv = |name, options: ConvTransposeOptions<2>, weight: &[usize], y: &[usize]| {
        let op = |bias| Op::ConvTranspose { conv: ConvolutionTranspose::D2(options.clone()), bias };
        both(&format!("conv transpose 2d {name}"), op, &[2, 2, 3, 4], weight, y[1], y)
    };
    [
        conv(
            "plain",
            ConvTransposeOptions::new([1; 2], [0; 2], [0; 2], [1; 2], 1),
            &[2, 3, 2, 3],
            &[2, 3, 4, 6],
        ),
        conv(
            "strided",
            ConvTransposeOptions::new([2, 3], [1, 0], [1, 2], [1; 2], 1),
            &[2, 2, 3, 2],
            &[2, 2, 6, 13],
        ),
        conv(
            "dilated",
            ConvTransposeOptions::new([1, 2], [1, 1], [0, 1], [2, 1], 1),
            &[2, 2, 2, 2],
            &[2, 2, 3, 7],
        ),
        conv(
            "dilated, output padded",
            ConvTransposeOptions::new([1, 1], [0, 1], [1, 2], [2, 3], 1),
            &[2, 2, 2, 2],
            &[2, 2, 6, 7],
        ),
        conv(
            "grouped",
            ConvTransposeOptions::new([2, 1], [0, 1], [0, 0], [1; 2], 2),
            &[2, 2, 2, 2],
            &[2, 4, 6, 3],
        ),
        conv(
            "grouped, output padded",
            ConvTransposeOptions::new([3, 2], [1, 0], [2, 1], [1; 2], 2),
            &[2, 1, 2, 2],
            &[2, 2, 8, 9],
        ),
    ]
    .concat()
}

fn transposed_three() -> Vec<Case> {
    let conv = |name, options: ConvTransposeOptions<3>, weight: &[usize], y: &[usize]| {
        let op = |bias| Op::ConvTranspose { conv: ConvolutionTranspose::D3(options.clone()), bias };
        both(&format!("conv transpose 3d {name}"), op, &[1, 2, 2, 3, 2], weight, y[1], y)
    };
    let strided = ConvTransposeOptions::new([2, 1, 2], [1, 0, 0], [1, 0, 1], [1, 2, 1], 1);
    [
        conv(
            "plain",
            ConvTransposeOptions::new([1; 3], [0; 3], [0; 3], [1; 3], 1),
            &[2, 2, 2, 2, 2],
            &[1, 2, 3, 4, 3],
        ),
        conv("strided and dilated", strided, &[2, 1, 2, 2, 2], &[1, 1, 3, 5, 5]),
        conv(
            "grouped",
            ConvTransposeOptions::new([1; 3], [1; 3], [0; 3], [1; 3], 2),
            &[2, 1, 3, 2, 2],
            &[1, 2, 2, 2, 1],
        ),
        conv(
            "grouped, output padded",
            ConvTransposeOptions::new([3, 1, 2], [0, 1, 0], [2, 0, 1], [1; 3], 2),
            &[2, 1, 2, 2, 2],
            &[1, 2, 7, 2, 5],
        ),
    ]
    .concat()
}

#[test]
fn convolutions_are_differentiated_twice() {
    check_all(cases());
}
