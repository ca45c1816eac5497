//! Convolutions of images, on both backends that are run here.

use burn_backend::ops::ConvOptions;

use super::{ERRORS, check};
use crate::{
    execute::tests::random::{Random, float},
    graph::{Convolution, GraphBuilder, Op, WithRespectTo},
};

/// Convolutions, their gradients with respect to the image, and patches, with steps, borders and gaps.
#[test]
fn convolutions_equal_the_backends() {
    let options = [
        ([1, 1], [0, 0], [1, 1]),
        ([1, 1], [1, 2], [1, 1]),
        ([1, 1], [2, 1], [2, 3]),
        ([2, 1], [1, 0], [1, 1]),
        ([1, 3], [2, 3], [2, 1]),
        ([3, 2], [0, 1], [1, 2]),
    ];
    for (stride, padding, dilation) in options {
        for [n, c, o, h, w] in [[2, 3, 4, 9, 11], [5, 16, 9, 30, 30], [1, 1, 1, 5, 5]] {
            let kernel = [3, 2];
            let extent = |size: usize, axis: usize| {
                (size + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) / stride[axis]
                    + 1
            };
            let [rows, columns] = [extent(h, 0), extent(w, 1)];
            let conv = Convolution::D2(ConvOptions::new(stride, padding, dilation, 1));
            let mut builder = GraphBuilder::default();
            let x = builder.input(float(&[n, c, h, w]));
            let kernels = builder.input(float(&[o, c, kernel[0], kernel[1]]));
            let grad = builder.input(float(&[n, o, rows, columns]));
            let op = Op::Conv { conv: conv.clone(), bias: false };
            let y = builder.node(op, vec![x, kernels], vec![float(&[n, o, rows, columns])])[0];
            let op = Op::ConvBackward(conv, WithRespectTo::Input);
            let back = builder.node(op, vec![x, kernels, grad], vec![float(&[n, c, h, w])])[0];
            let op = Op::Unfold4d { kernel, stride, padding, dilation };
            let patches = float(&[n, c * kernel[0] * kernel[1], rows * columns]);
            let patches = builder.node(op, vec![x], vec![patches])[0];
            let what = format!("{stride:?} {padding:?} {dilation:?} {h}×{w}");
            let graph = builder.finish(vec![y, back, patches]);
            check(&graph, &mut Random::new(5), ERRORS, &what);
        }
    }
}

/// On NdArray a program that convolves gives what it gives on Flex: with constants, with indices, and with inputs that the
/// caller keeps.
#[cfg(feature = "ndarray")]
#[test]
#[allow(deprecated)] // Burn 0.22 still ships NdArray.
fn programs_of_ndarray_that_convolve_equal_those_of_flex() {
    use burn::backend::{Flex, NdArray};
    use burn_backend::{Backend, DType, FloatDType, TensorData};

    use crate::{
        execute::{Program, apply, host::HostProgram},
        graph::{Binary, Graph, ValueType},
        tensor::Operand,
    };

    fn outputs<B: Backend>(graph: &Graph, given: &[TensorData]) -> Vec<(Vec<usize>, Vec<f64>)> {
        let device = Default::default();
        let program = Program::<B>::new(graph.clone(), &device, apply::<B>).unwrap();
        let given = given.iter().map(|data| {
            let operand = Operand::from_data(data.clone(), &device).unwrap();
            operand.stored_on(&device, FloatDType::F32)
        });
        let mut given: Vec<Operand<B>> = given.collect();
        let inputs = given.split_off(2);
        // The copies of the last run lie in the memory of those of the others, which have other elements.
        let [other, kept] = [&given[..1], &given[1..]];
        for _ in 0..2 {
            program.run_beside(other, inputs.clone()).unwrap();
        }
        let outputs = program.run_beside(kept, inputs).unwrap().into_iter();
        let read = outputs.map(|output| {
            let data = output.into_data().unwrap();
            (data.shape().to_vec(), data.iter::<f64>().collect())
        });
        read.collect()
    }

    let mut builder = GraphBuilder::default();
    let x = builder.input(float(&[100, 3, 9, 11]));
    let kernels = builder.input(float(&[4, 3, 3, 3]));
    let int = ValueType { shape: [400, 5].into(), dtype: DType::I64 };
    let places = builder.input(int);
    let bias = builder.constant(
        float(&[1, 4, 1, 1]),
        TensorData::from([[[[1.0f32]], [[2.0]], [[-1.0]], [[0.5]]]]),
    );
    let conv = Convolution::D2(ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
    let ty = float(&[100, 4, 7, 9]);
    let y = builder.node(Op::Conv { conv, bias: false }, vec![x, kernels], vec![ty.clone()])[0];
    let y = builder.node(Op::Binary(Binary::Add), vec![y, bias], vec![ty])[0];
    let rows = builder.node(Op::Reshape, vec![y], vec![float(&[400, 63])])[0];
    let gathered = builder.node(Op::Gather(1), vec![rows, places], vec![float(&[400, 5])])[0];
    let graph = builder.finish(vec![gathered, y]);
    assert!(HostProgram::new::<NdArray>(&graph, &[], &Default::default()).is_some());
    let numbers =
        |count: usize| -> Vec<f32> { (0..count).map(|i| (i * 7 % 13) as f32 - 6.0).collect() };
    let places = (0..2000).map(|i| (i * 11 % 63) as i64).collect();
    let images = 100 * 3 * 9 * 11;
    let given = [
        TensorData::new(vec![9.0_f32; images], [100, 3, 9, 11]),
        TensorData::new(numbers(images), [100, 3, 9, 11]),
        TensorData::new(numbers(4 * 27), [4, 3, 3, 3]),
        TensorData::new::<i64, _>(places, [400, 5]),
    ];
    // Small integers, whose products and sums are exact.
    assert_eq!(outputs::<NdArray>(&graph, &given), outputs::<Flex>(&graph, &given));

    let mut builder = GraphBuilder::default();
    let x = builder.input(float(&[2, 3]));
    let y = builder.node(Op::Reshape, vec![x], vec![float(&[6])])[0];
    let graph = builder.finish(vec![y]);
    assert!(HostProgram::new::<NdArray>(&graph, &[], &Default::default()).is_none());
}
