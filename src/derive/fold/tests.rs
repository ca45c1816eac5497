//! Tests of the folding rules on small programs, run before and after.

mod factors;

use burn::backend::Flex;
use burn_backend::{
    DType, Shape, TensorData, ops::ConvOptions, read_sync, tensor::IndexingUpdateOp,
};

use super::fold;
use crate::{
    execute::replay,
    graph::{
        Binary, Convolution, Graph, GraphBuilder, Kind, Literal, Op, Reduction, Unary, ValueId,
        ValueType, WithRespectTo,
    },
    tensor::Operand,
};

pub(in crate::derive) fn ty(shape: &[usize]) -> ValueType {
    ValueType { shape: Shape::from(shape.to_vec()), dtype: DType::F64 }
}

pub(in crate::derive) fn one(
    builder: &mut GraphBuilder,
    op: Op,
    inputs: &[ValueId],
    shape: &[usize],
) -> ValueId {
    builder.node(op, inputs.to_vec(), vec![ty(shape)])[0]
}

/// Results of a program whose float inputs are `0.1, 0.2, …` and whose int inputs are zeros.
pub(in crate::derive) fn run(graph: &Graph) -> Vec<Vec<f64>> {
    let device = Default::default();
    let operand = |&value: &ValueId| {
        let ty = graph.value(value);
        let count = ty.shape.num_elements();
        match ty.kind() {
            Kind::Float => {
                let numbers: Vec<f64> =
                    (0..count).map(|i| 0.1 * (i + 1 + value.index()) as f64).collect();
                let data = TensorData::new(numbers, ty.shape.clone());
                Operand::Float(<Flex as burn_backend::ops::FloatTensorOps<Flex>>::float_from_data(
                    data, &device,
                ))
            }
            _ => {
                let data = TensorData::new(vec![0i64; count], ty.shape.clone());
                Operand::Int(<Flex as burn_backend::ops::IntTensorOps<Flex>>::int_from_data(
                    data, &device,
                ))
            }
        }
    };
    let inputs = graph.inputs.iter().map(operand).collect();
    let outputs = replay(graph, &device, inputs, crate::execute::apply::<Flex>).expect("runs");
    let numbers = outputs.into_iter().map(|output| {
        let tensor = output.into_float().expect("float");
        let data =
            read_sync(<Flex as burn_backend::ops::FloatTensorOps<Flex>>::float_into_data(tensor));
        data.expect("readable").iter::<f64>().collect()
    });
    numbers.collect()
}

/// Folds, compares the results and returns the names of the operations left.
fn folded(graph: Graph) -> Vec<String> {
    let before = run(&graph);
    let graph = fold(graph);
    graph.validate().expect("well formed");
    assert_eq!(run(&graph), before);
    graph.nodes.iter().map(|node| node.op.name()).collect()
}

#[test]
fn a_difference_with_itself_and_all_that_hangs_on_it_goes() {
    let mut b = GraphBuilder::default();
    let (x, y) = (b.input(ty(&[2, 3])), b.input(ty(&[2, 3])));
    let zero = one(&mut b, Op::Binary(Binary::Sub), &[x, x], &[2, 3]);
    let product = one(&mut b, Op::Binary(Binary::Mul), &[y, zero], &[2, 3]);
    let scaled =
        one(&mut b, Op::BinaryScalar(Binary::Mul, Literal::Float(-2.0)), &[product], &[2, 3]);
    let turned = one(&mut b, Op::SwapDims(0, 1), &[scaled], &[3, 2]);
    let back = one(&mut b, Op::Reshape, &[turned], &[2, 3]);
    let sum = one(&mut b, Op::Binary(Binary::Add), &[y, back], &[2, 3]);
    let result = one(&mut b, Op::Unary(Unary::Sin), &[sum], &[2, 3]);
    assert_eq!(folded(b.finish(vec![result])), ["Sin"]);
}

/// 29·0.01·100 is 28.999999999999996: what is rounded down keeps both factors, and what is not keeps their product.
#[test]
fn factors_are_merged_unless_rounding_decides() {
    let scaled = |then: Op| {
        let mut b = GraphBuilder::default();
        let numbers: Vec<f64> = (1..=40).map(f64::from).collect();
        let whole = b.constant(ty(&[40]), TensorData::new(numbers, [40]));
        let by = |number| Op::BinaryScalar(Binary::Mul, Literal::Float(number));
        let small = one(&mut b, by(0.01), &[whole], &[40]);
        let back = one(&mut b, by(100.0), &[small], &[40]);
        let result = one(&mut b, then, &[back], &[40]);
        b.finish(vec![result])
    };
    let count = |graph: &Graph| {
        let scalings = graph.nodes.iter().filter(|node| node.op.name() == "MulScalar");
        scalings.count()
    };
    let rounded = scaled(Op::Unary(Unary::Floor));
    assert_eq!(run(&fold(rounded.clone())), run(&rounded));
    assert_eq!(count(&fold(rounded)), 2);
    assert_eq!(count(&fold(scaled(Op::Unary(Unary::Cos)))), 1);
}

#[test]
fn ones_become_a_broadcast() {
    let mut b = GraphBuilder::default();
    let g = b.input(ty(&[2, 1]));
    let ones = one(&mut b, Op::Ones, &[], &[2, 3]);
    let thirds =
        one(&mut b, Op::BinaryScalar(Binary::Mul, Literal::Float(1.0 / 3.0)), &[ones], &[2, 3]);
    let sum = one(&mut b, Op::ReduceDim(Reduction::Sum, 1), &[g], &[2, 1]);
    let spread = one(&mut b, Op::Binary(Binary::Mul), &[thirds, sum], &[2, 3]);
    assert_eq!(folded(b.finish(vec![spread])), ["MulScalar", "Ones", "Mul"]);
}

#[test]
fn zeros_added_to_a_broadcast_operand_keep_the_shape() {
    let mut b = GraphBuilder::default();
    let x = b.input(ty(&[1, 3]));
    let zeros = one(&mut b, Op::Zeros, &[], &[2, 3]);
    let sum = one(&mut b, Op::Binary(Binary::Add), &[x, zeros], &[2, 3]);
    assert_eq!(folded(b.finish(vec![sum])), ["Ones", "Mul"]);
}

#[test]
fn an_output_may_become_an_input() {
    let mut b = GraphBuilder::default();
    let x = b.input(ty(&[3]));
    let ones = one(&mut b, Op::Ones, &[], &[3]);
    let same = one(&mut b, Op::Binary(Binary::Mul), &[ones, x], &[3]);
    assert!(folded(b.finish(vec![same, same])).is_empty());
}

#[test]
fn zeros_scattered_into_something_go() {
    let mut b = GraphBuilder::default();
    let x = b.input(ty(&[4]));
    let indices = b.input(ValueType { shape: Shape::from(vec![2]), dtype: DType::I64 });
    let zeros = one(&mut b, Op::Zeros, &[], &[2]);
    let scatter = Op::Scatter(0, IndexingUpdateOp::Add);
    let written = one(&mut b, scatter, &[x, indices, zeros], &[4]);
    let result = one(&mut b, Op::Unary(Unary::Cos), &[written], &[4]);
    assert_eq!(folded(b.finish(vec![result])), ["Cos"]);
}

#[test]
fn moves_that_undo_each_other_go() {
    let mut b = GraphBuilder::default();
    let x = b.input(ty(&[2, 3, 4]));
    let permuted = one(&mut b, Op::Permute(vec![2, 0, 1]), &[x], &[4, 2, 3]);
    let back = one(&mut b, Op::Permute(vec![1, 2, 0]), &[permuted], &[2, 3, 4]);
    let flat = one(&mut b, Op::Reshape, &[back], &[24]);
    let matrix = one(&mut b, Op::Reshape, &[flat], &[6, 4]);
    let negative = one(&mut b, Op::Unary(Unary::Neg), &[matrix], &[6, 4]);
    let result =
        one(&mut b, Op::BinaryScalar(Binary::Mul, Literal::Float(0.5)), &[negative], &[6, 4]);
    assert_eq!(folded(b.finish(vec![result])), ["Reshape", "MulScalar"]);
}

#[test]
fn a_negative_term_is_subtracted() {
    for (function, negative, rest) in [
        (Binary::Add, 0, Binary::Sub),
        (Binary::Add, 1, Binary::Sub),
        (Binary::Sub, 1, Binary::Add),
    ] {
        let mut b = GraphBuilder::default();
        let (x, y) = (b.input(ty(&[2, 3])), b.input(ty(&[2, 1])));
        let minus = one(&mut b, Op::Unary(Unary::Neg), &[y], &[2, 1]);
        let mut pair = [x, x];
        pair[negative] = minus;
        let sum = one(&mut b, Op::Binary(function), &pair, &[2, 3]);
        assert_eq!(folded(b.finish(vec![sum])), [Op::Binary(rest).name()]);
    }
}

#[test]
fn what_is_not_known_stays() {
    let mut b = GraphBuilder::default();
    let (x, y) = (b.input(ty(&[2, 2])), b.input(ty(&[2, 2])));
    let ones = one(&mut b, Op::Ones, &[], &[2, 2]);
    let sum = one(&mut b, Op::Binary(Binary::Add), &[x, ones], &[2, 2]);
    let permuted = one(&mut b, Op::Permute(vec![1, 0]), &[sum], &[2, 2]);
    let flipped = one(&mut b, Op::Flip(vec![0]), &[permuted], &[2, 2]);
    let result = one(&mut b, Op::Binary(Binary::Sub), &[flipped, y], &[2, 2]);
    assert_eq!(folded(b.finish(vec![result])), ["Ones", "Add", "Permute", "Flip", "Sub"]);
}

#[test]
fn what_is_broadcast_is_worked_on_before() {
    let mut b = GraphBuilder::default();
    let (x, g) = (b.input(ty(&[2, 3])), b.input(ty(&[2, 1])));
    let ones = one(&mut b, Op::Ones, &[], &[2, 3]);
    let spread = one(&mut b, Op::Binary(Binary::Mul), &[ones, g], &[2, 3]);
    let negative = one(&mut b, Op::Unary(Unary::Neg), &[spread], &[2, 3]);
    let shifted =
        one(&mut b, Op::BinaryScalar(Binary::Add, Literal::Float(2.0)), &[negative], &[2, 3]);
    let both = one(&mut b, Op::Binary(Binary::Add), &[shifted, spread], &[2, 3]);
    let result = one(&mut b, Op::Binary(Binary::Mul), &[x, both], &[2, 3]);
    let graph = b.finish(vec![result]);
    let folded_graph = fold(graph.clone());
    assert_eq!(folded(graph), ["Neg", "AddScalar", "Add", "Mul"]);
    assert!(
        folded_graph.nodes[..3]
            .iter()
            .all(|node| folded_graph.value(node.outputs[0]) == &ty(&[2, 1]))
    );
}

#[test]
fn a_sum_along_what_was_broadcast_is_a_multiple() {
    let mut b = GraphBuilder::default();
    let g = b.input(ty(&[2, 1]));
    let spread = one(&mut b, Op::Expand, &[g], &[2, 4]);
    let sum = one(&mut b, Op::ReduceDim(Reduction::Sum, 1), &[spread], &[2, 1]);
    let across = one(&mut b, Op::ReduceDim(Reduction::Sum, 0), &[spread], &[1, 4]);
    assert_eq!(folded(b.finish(vec![sum, across])), ["MulScalar", "SumDim", "Ones", "Mul"]);
}

/// A bias written as ones times a column, brought into the order of an image: only the bias itself is moved.
#[test]
fn a_broadcast_is_seen_through_rearrangements() {
    let mut b = GraphBuilder::default();
    let (x, bias) = (b.input(ty(&[2, 3, 2, 2])), b.input(ty(&[3])));
    let column = one(&mut b, Op::Reshape, &[bias], &[3, 1]);
    let ones = one(&mut b, Op::Ones, &[], &[3, 8]);
    let spread = one(&mut b, Op::Binary(Binary::Mul), &[ones, column], &[3, 8]);
    let image = one(&mut b, Op::Reshape, &[spread], &[3, 2, 2, 2]);
    let image = one(&mut b, Op::SwapDims(0, 1), &[image], &[2, 3, 2, 2]);
    let sum = one(&mut b, Op::Binary(Binary::Add), &[x, image], &[2, 3, 2, 2]);
    assert_eq!(folded(b.finish(vec![sum])), ["Reshape", "Reshape", "SwapDims", "Add"]);
}

/// What is broadcast to no elements stays as it is: a sum of them is zero, not the operand.
#[test]
fn broadcasts_to_nothing_stay() {
    let mut b = GraphBuilder::default();
    let (row, none) = (b.input(ty(&[1, 3])), b.input(ty(&[0, 3])));
    let spread = one(&mut b, Op::Expand, &[row], &[0, 3]);
    let product = one(&mut b, Op::Binary(Binary::Mul), &[spread, none], &[0, 3]);
    let sum = one(&mut b, Op::ReduceDim(Reduction::Sum, 0), &[spread], &[1, 3]);
    let flat = one(&mut b, Op::Reshape, &[spread], &[0]);
    let square = one(&mut b, Op::Binary(Binary::Mul), &[flat, flat], &[0]);
    let outputs = vec![product, sum, square];
    folded(b.finish(outputs));
}

#[test]
fn a_broadcast_that_mixes_with_other_dimensions_stays() {
    let mut b = GraphBuilder::default();
    let (x, column) = (b.input(ty(&[3, 2])), b.input(ty(&[2, 1])));
    let spread = one(&mut b, Op::Expand, &[column], &[2, 3]);
    let mixed = one(&mut b, Op::Reshape, &[spread], &[3, 2]);
    let sum = one(&mut b, Op::Binary(Binary::Add), &[x, mixed], &[3, 2]);
    assert_eq!(folded(b.finish(vec![sum])), ["Expand", "Reshape", "Add"]);
}

/// Input and weight derivatives of a weight gradient, with strides that divide and that do not, padding and dilation.
#[test]
fn weight_gradients_are_differentiated_with_small_kernels() {
    let conv =
        |stride, padding, dilation| Convolution::D2(ConvOptions::new(stride, padding, dilation, 1));
    for (backward, sizes, kernel) in [
        (conv([1, 1], [0, 0], [1, 1]), [6, 7], [3, 2]),
        (conv([1, 1], [1, 0], [2, 3]), [7, 8], [4, 3]),
        (conv([2, 1], [1, 2], [1, 2]), [6, 7], [4, 5]),
    ] {
        // A weight gradient needs the kernel's sizes only, wherever it is from.
        for (wrt, plain_kernel) in [
            (WithRespectTo::Input, false),
            (WithRespectTo::Weight, false),
            (WithRespectTo::Weight, true),
        ] {
            let mut b = GraphBuilder::default();
            // The convolution that Burn wrote has stride and dilation exchanged.
            let Convolution::D2(options) = &backward else {
                return;
            };
            let out = |axis: usize| {
                let extent = options.dilation[axis] * (kernel[axis] - 1) + 1;
                (sizes[axis] + 2 * options.padding[axis].0 - extent) / options.stride[axis] + 1
            };
            let (image, cotangent) = ([2, 3, sizes[0], sizes[1]], [2, 4, kernel[0], kernel[1]]);
            let (x, g) = (b.input(ty(&image)), b.input(ty(&cotangent)));
            let v = b.input(ty(&[3, 4, out(0), out(1)]));
            let turned = |[a, b, c, d]: [usize; 4]| [b, a, c, d];
            let xt = one(&mut b, Op::SwapDims(0, 1), &[x], &turned(image));
            let gt = if plain_kernel {
                b.input(ty(&turned(cotangent)))
            } else {
                one(&mut b, Op::SwapDims(0, 1), &[g], &turned(cotangent))
            };
            let shape = if wrt == WithRespectTo::Input { turned(image) } else { turned(cotangent) };
            let d = one(&mut b, Op::ConvBackward(backward.clone(), wrt), &[xt, gt, v], &shape);
            let back = one(&mut b, Op::SwapDims(0, 1), &[d], &turned(shape));
            let graph = b.finish(vec![back]);
            let before = run(&graph);
            let small = fold(graph);
            small.validate().expect("well formed");
            let after = run(&small);
            let error =
                before[0].iter().zip(&after[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(error < 1e-12, "{backward:?} {wrt:?}: {error}");
            let fires = kernel[0] * kernel[1] > out(0) * out(1);
            assert_eq!(small.nodes.last().map(|node| node.op != Op::SwapDims(0, 1)), Some(fires));
        }
    }
}
