//! Matrix products, alone, added and summed, and convolutions.

use burn::backend::Flex;
use burn_backend::{DType, FloatDType, TensorData, ops::ConvOptions, tensor::IndexingUpdateOp};

use super::check;
use crate::{
    execute::{
        ExecuteError, Program, apply,
        host::plan::{self, Work},
        tests::random::{Random, float},
    },
    graph::{Binary, Convolution, GraphBuilder, Op, Reduction, ValueId, ValueType, WithRespectTo},
    tensor::Operand,
};

const ERRORS: [f64; 2] = [1e-5, 1e-13];

/// A matrix product in a batch, its operands given as they are or with the last two dimensions exchanged.
fn product(
    builder: &mut GraphBuilder,
    [of_first, of_second, batch]: [&[usize]; 3],
    [m, k, n]: [usize; 3],
    exchanged: usize,
) -> ValueId {
    let mut operand = |batch: &[usize], [rows, columns]: [usize; 2], exchanged: bool| {
        let shape = |sizes: [usize; 2]| float(&[batch, &sizes[..]].concat());
        if exchanged {
            let x = builder.input(shape([columns, rows]));
            let swap = Op::SwapDims(batch.len(), batch.len() + 1);
            builder.node(swap, vec![x], vec![shape([rows, columns])])[0]
        } else {
            builder.input(shape([rows, columns]))
        }
    };
    let first = operand(of_first, [m, k], exchanged & 1 > 0);
    let second = operand(of_second, [k, n], exchanged & 2 > 0);
    let shape = [batch, &[m, n]].concat();
    builder.node(Op::Matmul, vec![first, second], vec![float(&shape)])[0]
}

const BATCHES: [[&[usize]; 3]; 5] = [
    [&[], &[], &[]],
    [&[5], &[5], &[5]],
    [&[1], &[5], &[5]],
    [&[2, 3], &[2, 1], &[2, 3]],
    [&[9], &[1], &[9]],
];

/// Whose rows, and whose columns, the threads share.
const LARGE: [([&[usize]; 3], [usize; 3]); 2] =
    [([&[], &[], &[]], [150, 70, 90]), ([&[], &[], &[]], [60, 90, 150])];

#[test]
fn products_equal_the_backends_in_all_layouts() {
    for batch in BATCHES {
        for sizes in
            [[3, 4, 5], [1, 4, 5], [3, 1, 5], [3, 4, 1], [1, 1, 1], [150, 70, 90], [60, 90, 150]]
        {
            for exchanged in 0..4 {
                let mut builder = GraphBuilder::default();
                let y = product(&mut builder, batch, sizes, exchanged);
                let what = format!("{batch:?} {sizes:?} {exchanged}");
                check(&builder.finish(vec![y]), &mut Random::new(1), ERRORS, &what);
            }
        }
    }
}

/// The sum of three products is three steps, of which two add to what is there.
#[test]
fn products_are_written_where_they_are_added() {
    for (batch, sizes) in BATCHES.map(|batch| (batch, [4, 3, 5])).into_iter().chain(LARGE) {
        let mut builder = GraphBuilder::default();
        let [x, y, z] = [0, 1, 2].map(|exchanged| product(&mut builder, batch, sizes, exchanged));
        let ty = float(&[batch[2], &[sizes[0], sizes[2]]].concat());
        let add = Op::Binary(Binary::Add);
        let sum = builder.node(add.clone(), vec![y, x], vec![ty.clone()])[0];
        let sum = builder.node(add, vec![sum, z], vec![ty])[0];
        let graph = builder.finish(vec![sum]);
        let steps = plan::steps(&graph);
        let onto = steps.iter().map(|step| match &step.work {
            Work::Product(product) => Some(product.onto.is_some()),
            _ => None,
        });
        assert_eq!(onto.flatten().collect::<Vec<_>>(), [false, true, true]);
        check(&graph, &mut Random::new(2), ERRORS, &format!("{batch:?} {sizes:?}"));
    }
}

/// A product that is returned too, or added to itself, stays as it is.
#[test]
fn products_that_are_read_twice_are_kept() {
    let mut builder = GraphBuilder::default();
    let [x, y] = [0, 1].map(|exchanged| product(&mut builder, BATCHES[0], [4, 3, 5], exchanged));
    let mut add = |inputs| builder.node(Op::Binary(Binary::Add), inputs, vec![float(&[4, 5])])[0];
    let (sum, twice) = (add(vec![x, y]), add(vec![y, y]));
    check(&builder.finish(vec![sum, twice, x]), &mut Random::new(3), ERRORS, "twice");
}

/// A product that is returned is not written into.
#[test]
fn products_that_are_returned_are_kept() {
    let mut builder = GraphBuilder::default();
    let [x, y] = [0, 1].map(|exchanged| product(&mut builder, BATCHES[0], [4, 3, 5], exchanged));
    let sum = builder.node(Op::Binary(Binary::Add), vec![x, y], vec![float(&[4, 5])])[0];
    check(&builder.finish(vec![sum, y]), &mut Random::new(3), ERRORS, "returned");
}

/// Without rows, columns, terms or matrices.
#[test]
fn products_of_nothing_are_zero_or_empty() {
    let batches: [[&[usize]; 3]; 3] = [BATCHES[0], [&[0]; 3], [&[2]; 3]];
    for batch in batches {
        for sizes in [[3, 0, 5], [0, 4, 5], [3, 4, 0], [3, 4, 5]] {
            let mut builder = GraphBuilder::default();
            let ty = |leading: &[usize]| float(&[leading, &[sizes[0], sizes[2]]].concat());
            let sum = |builder: &mut GraphBuilder| {
                let [x, y] = [0, 3].map(|exchanged| product(builder, batch, sizes, exchanged));
                builder.node(Op::Binary(Binary::Add), vec![x, y], vec![ty(batch[2])])[0]
            };
            let mut outputs = vec![sum(&mut builder)];
            if batch[2].len() == 1 {
                let x = product(&mut builder, batch, sizes, 0);
                let total = Op::ReduceDim(Reduction::Sum, 0);
                outputs.push(builder.node(total, vec![x], vec![ty(&[1])])[0]);
            }
            let graph = builder.finish(outputs);
            check(&graph, &mut Random::new(6), ERRORS, &format!("{batch:?} {sizes:?}"));
        }
    }
}

#[test]
fn products_of_a_batch_are_summed() {
    for (batch, count) in [(BATCHES[1], 5), (BATCHES[2], 5), (BATCHES[4], 9)] {
        for sizes in [[3, 4, 5], [60, 50, 70]] {
            let mut builder = GraphBuilder::default();
            let y = product(&mut builder, batch, sizes, 3);
            let [m, _, n] = sizes;
            let sum = Op::ReduceDim(Reduction::Sum, 0);
            let sum = builder.node(sum, vec![y], vec![float(&[1, m, n])])[0];
            let graph = builder.finish(vec![sum]);
            assert!(plan::steps(&graph).iter().any(|step| match &step.work {
                Work::Product(product) => product.summed && product.batch == [count],
                _ => false,
            }));
            check(&graph, &mut Random::new(4), ERRORS, &format!("{batch:?} {sizes:?}"));
        }
    }
}

/// Along any dimension, few rows or many, and of nothing.
#[test]
fn sums_equal_the_backends() {
    let shapes: [&[usize]; 7] =
        [&[3, 5], &[7], &[2, 3, 4], &[200, 30], &[130, 2], &[0, 3], &[2, 0, 3]];
    for shape in shapes {
        for dim in 0..shape.len() {
            let mut builder = GraphBuilder::default();
            let x = builder.input(float(shape));
            let mut sizes = shape.to_vec();
            sizes[dim] = 1;
            let sum = Op::ReduceDim(Reduction::Sum, dim);
            let sum = builder.node(sum, vec![x], vec![float(&sizes)])[0];
            let graph = builder.finish(vec![sum]);
            check(&graph, &mut Random::new(7), ERRORS, &format!("{shape:?} {dim}"));
        }
    }
}

/// Convolutions, their gradients with respect to the image, and patches, with steps, borders and gaps.
#[test]
fn convolutions_equal_the_backends() {
    let options = [
        ([1, 1], [0, 0], [1, 1]),
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

/// Elements picked and added by place, of few rows and of many, with places of both types.
#[test]
fn places_equal_the_backends() {
    for [rows, width, count] in [[1, 1, 1], [3, 5, 4], [2, 3, 9], [500, 90, 70]] {
        for dtype in [DType::I32, DType::I64] {
            let places: Vec<i64> = (0..rows * count).map(|i| (i * 7 % width) as i64).collect();
            let data = TensorData::new(places, [rows, count]).convert_dtype(dtype);
            let (ty, all) = (float(&[rows, count]), float(&[rows, width]));
            let mut builder = GraphBuilder::default();
            let [x, value] = [all.clone(), ty.clone()].map(|ty| builder.input(ty));
            let places = ValueType { shape: [rows, count].into(), dtype };
            let places = builder.constant(places, data);
            let picked = builder.node(Op::Gather(1), vec![x, places], vec![ty])[0];
            let zeros = builder.node(Op::Zeros, vec![], vec![all.clone()])[0];
            let add = Op::Scatter(1, IndexingUpdateOp::Add);
            let added = builder.node(add.clone(), vec![zeros, places, value], vec![all.clone()])[0];
            let kept = builder.node(add, vec![x, places, picked], vec![all])[0];
            let graph = builder.finish(vec![picked, added, kept]);
            check(
                &graph,
                &mut Random::new(3),
                ERRORS,
                &format!("{rows} {width} {count} {dtype:?}"),
            );
        }
    }
}

/// A place beyond the end is the backend's error, and not a wrong number.
#[test]
fn places_out_of_range_are_refused() {
    for (width, wrong) in [(5, 5), (5, -1), (0, 0)] {
        for scattered in [false, true] {
            let mut builder = GraphBuilder::default();
            let [all, ty] = [float(&[2, width]), float(&[2, 3])];
            let places = ValueType { shape: [2, 3].into(), dtype: DType::I64 };
            let data = TensorData::new(vec![0_i64, 1, 2, 3, 4, wrong], [2, 3]);
            let places = builder.constant(places, data);
            let x = builder.input(if scattered { ty.clone() } else { all.clone() });
            let y = if scattered {
                let zeros = builder.node(Op::Zeros, vec![], vec![all.clone()])[0];
                let add = Op::Scatter(1, IndexingUpdateOp::Add);
                builder.node(add, vec![zeros, places, x], vec![all])[0]
            } else {
                builder.node(Op::Gather(1), vec![x, places], vec![ty])[0]
            };
            let device = Default::default();
            let program = Program::<Flex>::new(builder.finish(vec![y]), &device, apply::<Flex>);
            let size = if scattered { [2, 3] } else { [2, width] };
            let x = TensorData::new(vec![1.0_f32; size[0] * size[1]], size);
            let result = program.unwrap().run(vec![Operand::from_data(x, &device).unwrap()]);
            assert!(
                matches!(result, Err(ExecuteError::Backend { .. })),
                "{width} {wrong} {result:?}"
            );
        }
    }
}

/// On NdArray a program that convolves gives what it gives on Flex: with constants, with indices, and with inputs that the
/// caller keeps.
#[cfg(feature = "ndarray")]
#[test]
#[allow(deprecated)] // Burn 0.22 still ships NdArray.
fn programs_of_ndarray_that_convolve_equal_those_of_flex() {
    use burn::backend::NdArray;
    use burn_backend::Backend;

    use crate::{execute::host::HostProgram, graph::Graph};

    fn outputs<B: Backend>(graph: &Graph, given: &[TensorData]) -> Vec<(Vec<usize>, Vec<f64>)> {
        let device = Default::default();
        let program = Program::<B>::new(graph.clone(), &device, apply::<B>).unwrap();
        let given = given.iter().map(|data| {
            let operand = Operand::from_data(data.clone(), &device).unwrap();
            operand.stored_on(&device, FloatDType::F32)
        });
        let mut kept: Vec<Operand<B>> = given.collect();
        let inputs = kept.split_off(1);
        for _ in 0..2 {
            program.run_beside(&kept, inputs.clone()).unwrap();
        }
        let outputs = program.run_beside(&kept, inputs).unwrap().into_iter();
        let read = outputs.map(|output| {
            let data = output.into_data().unwrap();
            (data.shape().to_vec(), data.iter::<f64>().collect())
        });
        read.collect()
    }

    let mut builder = GraphBuilder::default();
    let x = builder.input(float(&[2, 3, 9, 11]));
    let kernels = builder.input(float(&[4, 3, 3, 3]));
    let int = ValueType { shape: [8, 5].into(), dtype: DType::I64 };
    let places = builder.input(int);
    let bias = builder.constant(
        float(&[1, 4, 1, 1]),
        TensorData::from([[[[1.0f32]], [[2.0]], [[-1.0]], [[0.5]]]]),
    );
    let conv = Convolution::D2(ConvOptions::new([1, 1], [0, 0], [1, 1], 1));
    let ty = float(&[2, 4, 7, 9]);
    let y = builder.node(Op::Conv { conv, bias: false }, vec![x, kernels], vec![ty.clone()])[0];
    let y = builder.node(Op::Binary(Binary::Add), vec![y, bias], vec![ty])[0];
    let rows = builder.node(Op::Reshape, vec![y], vec![float(&[8, 63])])[0];
    let gathered = builder.node(Op::Gather(1), vec![rows, places], vec![float(&[8, 5])])[0];
    let graph = builder.finish(vec![gathered, y]);
    assert!(HostProgram::new::<NdArray>(&graph, &[], &Default::default()).is_some());
    let numbers =
        |count: usize| -> Vec<f32> { (0..count).map(|i| (i * 7 % 13) as f32 - 6.0).collect() };
    let places = (0..40).map(|i| (i * 11 % 63) as i64).collect();
    let given = [
        TensorData::new(numbers(2 * 3 * 9 * 11), [2, 3, 9, 11]),
        TensorData::new(numbers(4 * 27), [4, 3, 3, 3]),
        TensorData::new::<i64, _>(places, [8, 5]),
    ];
    // Small integers, whose products and sums are exact.
    assert_eq!(outputs::<NdArray>(&graph, &given), outputs::<Flex>(&graph, &given));

    let mut builder = GraphBuilder::default();
    let x = builder.input(float(&[2, 3]));
    let y = builder.node(Op::Reshape, vec![x], vec![float(&[6])])[0];
    let graph = builder.finish(vec![y]);
    assert!(HostProgram::new::<NdArray>(&graph, &[], &Default::default()).is_none());
}
