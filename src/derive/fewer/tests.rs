//! Tests of the passes on small programs, run before and after.

use super::{reshapes_past_elements, signs_into_sums};
use crate::{
    derive::fold::tests::{one, run, ty},
    graph::{Binary, Graph, GraphBuilder, Literal, Op, Reduction, Unary, ValueId},
};

const ADD: Op = Op::Binary(Binary::Add);
const MUL: Op = Op::Binary(Binary::Mul);

/// Runs a pass with the first input as the one that varies, compares the results, and returns how many operations run
/// for each vector before and after.
fn counts(graph: Graph, pass: impl Fn(Graph, &[usize]) -> Graph) -> (usize, usize) {
    let rewritten = pass(graph.clone(), &[0]);
    rewritten.validate().expect("well formed");
    let types = |graph: &Graph| {
        graph.outputs.iter().map(|&value| graph.value(value).clone()).collect::<Vec<_>>()
    };
    assert_eq!(types(&rewritten), types(&graph));
    for (before, after) in run(&graph).iter().zip(&run(&rewritten)) {
        assert_eq!(before.len(), after.len());
        let close = |(a, b): (&f64, &f64)| {
            (a - b).abs() <= 1e-13 * (1.0 + a.abs()) || a == b || (a.is_nan() && b.is_nan())
        };
        assert!(before.iter().zip(after).all(close), "{before:?} against {after:?}");
    }
    let per_vector = |graph: &Graph| graph.split(&[0], |node| node.op.is_uniform()).finish.len();
    (per_vector(&graph), per_vector(&rewritten))
}

/// A bias, a norm's mean and a factor between two matrix products, written for sequences of vectors.
#[test]
fn reshapes_between_matrix_products_vanish() {
    let mut b = GraphBuilder::default();
    let (v, w, bias) = (b.input(ty(&[6, 4])), b.input(ty(&[4, 4])), b.input(ty(&[1, 1, 4])));
    let matrix = one(&mut b, Op::Matmul, &[v, w], &[6, 4]);
    let sequence = one(&mut b, Op::Reshape, &[matrix], &[2, 3, 4]);
    let shifted = one(&mut b, ADD, &[sequence, bias], &[2, 3, 4]);
    let sum = one(&mut b, Op::ReduceDim(Reduction::Sum, 2), &[shifted], &[2, 3, 1]);
    let centered = one(&mut b, Op::Binary(Binary::Sub), &[shifted, sum], &[2, 3, 4]);
    let rows = one(&mut b, Op::Reshape, &[centered], &[6, 4]);
    let result = one(&mut b, Op::Matmul, &[rows, w], &[6, 4]);
    let total = one(&mut b, Op::SumDims(vec![0, 1]), &[centered], &[1, 1, 4]);
    let flat = one(&mut b, Op::Reshape, &[total], &[4]);
    assert_eq!(counts(b.finish(vec![result, flat]), reshapes_past_elements), (9, 7));
}

/// A small operand that varies, times a large one that does not.
#[test]
fn a_factor_per_row_works_in_rows() {
    let mut b = GraphBuilder::default();
    let (v, a) = (b.input(ty(&[6, 1])), b.input(ty(&[2, 3, 4])));
    let column = one(&mut b, Op::Reshape, &[v], &[2, 3, 1]);
    let product = one(&mut b, MUL, &[a, column], &[2, 3, 4]);
    let rows = one(&mut b, Op::Reshape, &[product], &[6, 4]);
    assert_eq!(counts(b.finish(vec![rows]), reshapes_past_elements), (3, 1));
}

/// A rearranged value is copied once, whatever shapes it is then read in.
#[test]
fn a_rearranged_value_is_copied_once() {
    let mut b = GraphBuilder::default();
    let v = b.input(ty(&[3, 2, 4]));
    let turned = one(&mut b, Op::SwapDims(0, 1), &[v], &[2, 3, 4]);
    let flat = one(&mut b, Op::Reshape, &[turned], &[2, 1, 12]);
    let matrix = one(&mut b, Op::Reshape, &[turned], &[6, 4]);
    let sum = one(&mut b, Op::SumDims(vec![0]), &[matrix], &[1, 4]);
    let all = one(&mut b, Op::Unary(Unary::Cos), &[flat], &[2, 1, 12]);
    let graph = b.finish(vec![sum, all]);
    let copies = |graph: &Graph| {
        let of_view = |node: &&crate::graph::Node| {
            node.op == Op::Reshape
                && graph.nodes.iter().any(|other| {
                    other.op == Op::SwapDims(0, 1) && other.outputs[0] == node.inputs[0]
                })
        };
        graph.nodes.iter().filter(of_view).count()
    };
    assert_eq!((copies(&graph), copies(&reshapes_past_elements(graph.clone(), &[0]))), (2, 1));
    counts(graph, reshapes_past_elements);
}

/// Sums over a part of merged dimensions, operands broadcast along one of them, and programs without elements.
#[test]
fn mixed_dimensions_stay() {
    let mut b = GraphBuilder::default();
    let (v, place) = (b.input(ty(&[6, 4])), b.input(ty(&[1, 3, 4])));
    let sequence = one(&mut b, Op::Reshape, &[v], &[2, 3, 4]);
    let placed = one(&mut b, ADD, &[sequence, place], &[2, 3, 4]);
    let per_place = one(&mut b, Op::ReduceDim(Reduction::Sum, 0), &[sequence], &[1, 3, 4]);
    let graph = b.finish(vec![placed, per_place]);
    assert_eq!(counts(graph, reshapes_past_elements), (3, 3));
    for (from, to, reduced) in [([0, 4], [0, 2, 2], [0, 1, 2]), ([4, 0], [2, 2, 0], [2, 1, 0])] {
        let mut b = GraphBuilder::default();
        let v = b.input(ty(&from));
        let sequence = one(&mut b, Op::Reshape, &[v], &to);
        let double: ValueId = one(&mut b, ADD, &[sequence, sequence], &to);
        let sum = one(&mut b, Op::SumDims(vec![1]), &[double], &reduced);
        counts(b.finish(vec![sum]), reshapes_past_elements);
    }
}

const SUB: Op = Op::Binary(Binary::Sub);
const NEG: Op = Op::Unary(Unary::Neg);

fn times(number: f64) -> Op {
    Op::BinaryScalar(Binary::Mul, Literal::Float(number))
}

/// A mean that is subtracted, times a factor, from something.
#[test]
fn means_are_subtracted() {
    for sign in [1.0, -1.0] {
        let mut b = GraphBuilder::default();
        let (v, a, c) = (b.input(ty(&[2, 3])), b.input(ty(&[2, 3])), b.input(ty(&[2, 3])));
        let sum = one(&mut b, Op::ReduceDim(Reduction::Sum, 1), &[v], &[2, 1]);
        let mean = one(&mut b, times(sign / 3.0), &[sum], &[2, 1]);
        let product = one(&mut b, MUL, &[mean, a], &[2, 3]);
        let difference = one(&mut b, ADD, &[c, product], &[2, 3]);
        let graph = b.finish(vec![difference]);
        let (names, before) = (names(&signs_into_sums(graph.clone(), &[0])), graph.len());
        let last = if sign < 0.0 { "Sub" } else { "Add" };
        assert_eq!(names, ["MeanDim", "Mul", last]);
        assert_eq!(counts(graph, signs_into_sums), (before, 3));
    }
}

/// Each of the four sums of signed terms, behind a product of two of them and a sum.
#[test]
fn signs_meet_in_sums_and_products() {
    for function in [ADD, SUB] {
        for (left, right) in [(true, false), (false, true), (true, true)] {
            let mut b = GraphBuilder::default();
            let (v, a) = (b.input(ty(&[2, 3])), b.input(ty(&[2, 3])));
            let square = one(&mut b, Op::Unary(Unary::Cos), &[v], &[2, 3]);
            let minus = |b: &mut GraphBuilder, value, sign| match sign {
                true => one(b, NEG, &[value], &[2, 3]),
                false => value,
            };
            let pair = [minus(&mut b, v, left), minus(&mut b, square, right)];
            let sum = one(&mut b, function.clone(), &pair, &[2, 3]);
            let column = one(&mut b, Op::ReduceDim(Reduction::Sum, 0), &[sum], &[1, 3]);
            let product = one(&mut b, MUL, &[column, a], &[2, 3]);
            let scaled = one(&mut b, times(0.5), &[product], &[2, 3]);
            let signs = usize::from(left) + usize::from(right);
            let graph = b.finish(vec![scaled]);
            assert_eq!(counts(graph, signs_into_sums), (5 + signs, 5));
        }
    }
}

/// Signs that nothing takes, and scaled sums that are no means or have other readers.
#[test]
fn other_signs_and_sums_stay() {
    let same =
        |graph: Graph| assert_eq!(names(&signs_into_sums(graph.clone(), &[0])), names(&graph));
    let mut b = GraphBuilder::default();
    let (v, a) = (b.input(ty(&[2, 3])), b.input(ty(&[2, 3])));
    let minus = one(&mut b, NEG, &[v], &[2, 3]);
    let [first, second] = [v, a].map(|factor| one(&mut b, MUL, &[minus, factor], &[2, 3]));
    same(b.finish(vec![first, second]));
    let mut b = GraphBuilder::default();
    let v = b.input(ty(&[2, 3]));
    let sum = one(&mut b, Op::ReduceDim(Reduction::Sum, 1), &[v], &[2, 1]);
    let [third, half] = [1.0 / 3.0, 0.5].map(|part| one(&mut b, times(part), &[sum], &[2, 1]));
    same(b.finish(vec![third, half]));
    let mut b = GraphBuilder::default();
    let v = b.input(ty(&[0, 3]));
    let sum = one(&mut b, Op::ReduceDim(Reduction::Sum, 0), &[v], &[1, 3]);
    let scaled = one(&mut b, times(0.5), &[sum], &[1, 3]);
    same(b.finish(vec![scaled]));
}

/// A value that is read as it is and with a sign.
#[test]
fn a_negated_value_may_be_returned() {
    let mut b = GraphBuilder::default();
    let (v, a) = (b.input(ty(&[2, 3])), b.input(ty(&[2, 3])));
    let minus = one(&mut b, NEG, &[v], &[2, 3]);
    let back = one(&mut b, NEG, &[minus], &[2, 3]);
    let sum = one(&mut b, ADD, &[minus, a], &[2, 3]);
    let wave = one(&mut b, Op::Unary(Unary::Cos), &[minus], &[2, 3]);
    counts(b.finish(vec![minus, back, sum, wave]), signs_into_sums);
}

fn names(graph: &Graph) -> Vec<String> {
    graph.nodes.iter().map(|node| node.op.name()).collect()
}
