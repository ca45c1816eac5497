//! Tests of moving fixed factors, on small programs run before and after.

use burn_backend::{DType, tensor::IndexingUpdateOp};

use super::{one, run, ty};
use crate::{
    derive::fold::{factors_of_gathers, fixed_factors_first},
    graph::{Binary, Graph, GraphBuilder, Literal, Op, ValueType},
};

#[test]
fn fixed_factors_meet_before_the_varying_one() {
    let mut b = GraphBuilder::default();
    let (v, a, c) = (b.input(ty(&[3])), b.input(ty(&[3])), b.input(ty(&[3])));
    let first = one(&mut b, Op::Binary(Binary::Mul), &[v, a], &[3]);
    let second = one(&mut b, Op::Binary(Binary::Mul), &[c, first], &[3]);
    let third = one(&mut b, Op::BinaryScalar(Binary::Mul, Literal::Float(2.0)), &[second], &[3]);
    let graph = b.finish(vec![third]);
    let before = run(&graph);
    let graph = fixed_factors_first(graph, &[0]);
    graph.validate().expect("well formed");
    let after = run(&graph);
    let close = before[0].iter().zip(&after[0]).all(|(x, y)| (x - y).abs() < 1e-15);
    assert!(close, "{before:?} against {after:?}");
    assert_eq!(graph.split(&[0], |_| false).finish.len(), 1);
}

#[test]
fn products_read_elsewhere_stay() {
    let mut b = GraphBuilder::default();
    let (v, a, c) = (b.input(ty(&[3])), b.input(ty(&[3])), b.input(ty(&[3])));
    let first = one(&mut b, Op::Binary(Binary::Mul), &[v, a], &[3]);
    let second = one(&mut b, Op::Binary(Binary::Mul), &[first, c], &[3]);
    let graph = fixed_factors_first(b.finish(vec![first, second]), &[0]);
    assert_eq!(graph.len(), 2);
}

fn indices(shape: &[usize]) -> ValueType {
    ValueType { dtype: DType::I64, ..ty(shape) }
}

#[test]
fn fixed_factors_move_behind_a_gather() {
    let mut b = GraphBuilder::default();
    let (v, a) = (b.input(ty(&[2, 2, 3])), b.input(ty(&[2, 2, 3])));
    let at = b.input(indices(&[4, 1]));
    let product = one(&mut b, Op::Binary(Binary::Mul), &[v, a], &[2, 2, 3]);
    let flat = one(&mut b, Op::Reshape, &[product], &[4, 3]);
    let gathered = one(&mut b, Op::Gather(1), &[flat, at], &[4, 1]);
    let graph = b.finish(vec![gathered]);
    let moved = factors_of_gathers(graph.clone(), &[0]);
    moved.validate().expect("well formed");
    assert_eq!(run(&moved), run(&graph));
    let sizes = |graph: &Graph| {
        let products = graph.nodes.iter();
        let products = products.filter(|node| node.op == Op::Binary(Binary::Mul));
        let shapes = products.map(|node| graph.value(node.outputs[0]).shape.num_elements());
        shapes.collect::<Vec<_>>()
    };
    assert_eq!((sizes(&graph), sizes(&moved)), (vec![12], vec![4]));
    assert_eq!(factors_of_gathers(graph, &[0, 1]).len(), 3, "both vary");
}

#[test]
fn fixed_factors_move_before_a_scatter_into_zeros() {
    for target_is_zero in [true, false] {
        let mut b = GraphBuilder::default();
        let (v, a) = (b.input(ty(&[4, 1])), b.input(ty(&[2, 2, 3])));
        let at = b.input(indices(&[4, 1]));
        let target = if target_is_zero { Op::Zeros } else { Op::Ones };
        let target = one(&mut b, target, &[], &[4, 3]);
        let add = Op::Scatter(1, IndexingUpdateOp::Add);
        let scattered = one(&mut b, add, &[target, at, v], &[4, 3]);
        let image = one(&mut b, Op::Reshape, &[scattered], &[2, 2, 3]);
        let product = one(&mut b, Op::Binary(Binary::Mul), &[image, a], &[2, 2, 3]);
        let graph = b.finish(vec![product]);
        let moved = factors_of_gathers(graph.clone(), &[0]);
        moved.validate().expect("well formed");
        assert_eq!(run(&moved), run(&graph));
        let last = moved.nodes.last().map(|node| node.op.clone());
        let expected = if target_is_zero { Op::Reshape } else { Op::Binary(Binary::Mul) };
        assert_eq!(last, Some(expected));
    }
}
