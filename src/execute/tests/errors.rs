//! What cannot be run says so; random draws are draws.

use burn::backend::Flex;
use burn_backend::{DType, Distribution, Shape, tensor::IndexingUpdateOp};

use super::{Values, bools, ints, wave};
use crate::{
    execute::{ExecuteError, apply},
    graph::{
        Binary, Comparison, Convolution, Literal, Op, PoolWindow, Reduction, SortOutputs, Unary,
        ValueType,
    },
    tensor::Operand,
};

fn run(
    op: &Op,
    inputs: &[&Values],
    outputs: &[ValueType],
) -> Result<Vec<Operand<Flex>>, ExecuteError> {
    let device = Default::default();
    let inputs = inputs.iter().map(|x| x.operand(&device)).collect();
    apply::<Flex>(op, inputs, outputs, &device)
}

fn typed(shape: &[usize], dtype: DType) -> ValueType {
    let shape = Shape::from(shape.to_vec());
    ValueType { shape, dtype }
}

const BOOL: DType = DType::Bool(burn_backend::BoolStore::Native);

#[test]
fn an_operation_that_does_not_exist_for_a_kind_is_refused_with_the_kinds_named() {
    let (x, n, b) =
        (wave(&[2, 2], 0.0), ints(&[2, 2], &[1, 2, 3, 4]), bools(&[2, 2], &[1, 0, 1, 0]));
    let mul = IndexingUpdateOp::Mul;
    let sort = Op::Sort { dim: 0, descending: false, outputs: SortOutputs::Values };
    let conv = Op::Conv {
        conv: Convolution::D1(burn_backend::ops::ConvOptions::new([1], [0], [1], 1)),
        bias: false,
    };
    let padding = Op::Pad { padding: vec![(1, 1), (0, 0)], mode: burn_backend::ops::PadMode::Edge };
    let three = PoolWindow {
        kernel: vec![2; 3],
        stride: vec![1; 3],
        padding: vec![0; 3],
        dilation: vec![1; 3],
        ceil_mode: false,
    };
    let pool = Op::AvgPool { window: three, count_include_pad: true };
    let and = Op::BinaryScalar(Binary::And, Literal::Int(1));
    let add = Op::BinaryScalar(Binary::Add, Literal::Int(1));
    let greater = Op::CompareScalar(Comparison::Greater, Literal::Int(1));
    let cases: Vec<(Op, Vec<&Values>, &str)> = vec![
        (Op::Unary(Unary::Exp), vec![&n], "int"),
        (Op::Unary(Unary::Not), vec![&x], "float"),
        (Op::Unary(Unary::Neg), vec![&b], "bool"),
        (Op::Binary(Binary::Add), vec![&x, &n], "float, int"),
        (Op::Binary(Binary::Add), vec![&b, &b], "bool, bool"),
        (Op::Binary(Binary::Powf), vec![&n, &n], "int, int"),
        (Op::Binary(Binary::LeakyRelu), vec![&x, &x], "float, float"),
        (and, vec![&x], "float"),
        (add, vec![&b], "bool"),
        (Op::Compare(Comparison::Greater), vec![&b, &b], "bool, bool"),
        (Op::Compare(Comparison::Equal), vec![&x, &n], "float, int"),
        (greater, vec![&b], "bool"),
        (Op::Gather(0), vec![&x, &x], "float, float"),
        (Op::GatherNd, vec![&b, &n], "bool, int"),
        (Op::Scatter(0, mul), vec![&b, &n, &b], "bool, int, bool"),
        (Op::SelectAssign(0, mul), vec![&b, &n, &b], "bool, int, bool"),
        (Op::ScatterNd(mul), vec![&b, &n, &b], "bool, int, bool"),
        (Op::MaskWhere, vec![&x, &n, &x], "float, int, float"),
        (Op::SliceAssign(vec![]), vec![&x, &n], "float, int"),
        (padding, vec![&b], "bool"),
        (Op::Cat(0), vec![&x, &n], "float, int"),
        (Op::Cat(0), vec![], "no"),
        (Op::SumDims(vec![0]), vec![&b], "bool"),
        (sort, vec![&b], "bool"),
        (Op::Reduce(Reduction::Sum), vec![&b], "bool"),
        (Op::Reduce(Reduction::ArgMax), vec![&x], "float"),
        (Op::ReduceDim(Reduction::Max, 0), vec![&b], "bool"),
        (Op::Matmul, vec![&b, &b], "bool, bool"),
        (conv, vec![&x, &n], "float, int"),
        (pool, vec![&x], "float"),
        (Op::AdaptiveAvgPool, vec![&x], "float"),
    ];
    for (op, inputs, kinds) in cases {
        // A bool result is asked for by comparisons only.
        let dtype = if op.name().starts_with("Greater") || op.name() == "Equal" {
            BOOL
        } else {
            DType::F64
        };
        match run(&op, &inputs, &[typed(&[2, 2], dtype)]) {
            Err(ExecuteError::Unsupported { operation, found, .. }) => {
                assert_eq!(operation, op.name());
                assert_eq!(found, kinds, "{op:?}");
            }
            other => panic!("{op:?}: {other:?}"),
        }
    }
}

#[test]
fn a_result_of_the_wrong_kind_is_refused() {
    let x = wave(&[2], 0.0);
    for (op, inputs, dtype) in [
        (Op::Cast, vec![&x], BOOL),
        (Op::Random(Distribution::Default), vec![], BOOL),
        (Op::Unary(Unary::IsNan), vec![&x], DType::F64),
        (Op::ReduceDim(Reduction::ArgMax, 0), vec![&x], DType::F64),
    ] {
        let result = run(&op, &inputs, &[typed(&[2], dtype)]);
        assert!(matches!(result, Err(ExecuteError::Unsupported { .. })), "{op:?}: {result:?}");
    }
}

#[test]
fn wrong_numbers_of_operands_and_results_are_refused() {
    let x = wave(&[2], 0.0);
    let one = [typed(&[2], DType::F64)];
    assert_eq!(
        run(&Op::Binary(Binary::Add), &[&x], &one).unwrap_err(),
        ExecuteError::InputCount { what: "Add".into(), expected: 2, found: 1 }
    );
    let both = Op::Sort { dim: 0, descending: false, outputs: SortOutputs::Both };
    assert_eq!(
        run(&both, &[&x], &one).unwrap_err(),
        ExecuteError::OutputCount { what: "Sort".into(), expected: 2, found: 1 }
    );
}

#[test]
fn no_cpu_backend_has_the_gradient_of_the_ctc_loss() {
    let x = wave(&[2, 1, 3], 0.0);
    let n = ints(&[1], &[1]);
    let targets = ints(&[1, 1], &[1]);
    let loss = wave(&[1], 0.0);
    let op = Op::CtcLossBackward { blank: 0 };
    let result = run(&op, &[&x, &targets, &n, &n, &loss], &[typed(&[2, 1, 3], DType::F64)]);
    let error = result.unwrap_err();
    assert!(error.to_string().contains("backend that has this operation"), "{error}");
}

#[test]
fn random_draws_have_the_asked_type_and_distribution_and_differ() {
    let count = 4000;
    let draw = |distribution, dtype| {
        let types = [typed(&[40, 100], dtype)];
        let drawn = run(&Op::Random(distribution), &[], &types).expect("a draw").remove(0);
        assert_eq!(drawn.value_type(), types[0]);
        let data = drawn.into_data().expect("readable");
        data.iter::<f64>().collect::<Vec<f64>>()
    };
    let normal = draw(Distribution::Normal(2.0, 0.5), DType::F64);
    let mean = normal.iter().sum::<f64>() / f64::from(count);
    let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(count);
    // Six standard errors of each estimate.
    assert!((mean - 2.0).abs() < 0.048, "{mean}");
    assert!((variance - 0.25).abs() < 0.034, "{variance}");
    assert_ne!(normal, draw(Distribution::Normal(2.0, 0.5), DType::F64));
    let whole = draw(Distribution::Uniform(0.0, 10.0), DType::I64);
    assert!(whole.iter().all(|&x| (0.0..=10.0).contains(&x) && x == x.trunc()));
    assert!((0..10).all(|k| whole.contains(&f64::from(k))));
}
