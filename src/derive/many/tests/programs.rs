//! Random programs of products, sums and views, for several vectors that are the last inputs and for each.

use burn::backend::Flex;
use burn_backend::FloatDType;

use super::{VECTORS, entry, stack, with_axes};
use crate::{
    execute::{
        apply, in_precision, replay,
        tests::{
            Values,
            random::{Random, float, program_of_matrices},
        },
    },
    graph::{Binary, Graph, GraphBuilder, Kind, Op},
};

fn values(random: &mut Random, shape: &[usize]) -> Values {
    let data = (0..shape.iter().product()).map(|_| random.number()).collect();
    Values::of(Kind::Float, shape, data)
}

fn run(graph: &Graph, inputs: Vec<Values>) -> Vec<Vec<f64>> {
    let device = Default::default();
    let inputs = inputs
        .iter()
        .map(|values| values.operand::<Flex>(&device).stored_on(&device, FloatDType::F64));
    let results = replay(graph, &device, inputs.collect(), apply::<Flex>).unwrap();
    results.into_iter().map(|x| x.into_data().unwrap().iter::<f64>().collect()).collect()
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let finite = expected.iter().filter(|x| x.is_finite());
    let size = finite.fold(1.0, |size: f64, x| size.max(x.abs()));
    for (x, y) in found.iter().zip(expected) {
        let same = x == y || (x - y).abs() <= 1e-10 * size;
        assert!(same || !y.is_finite(), "{what}: {x} and {y}");
    }
}

/// A program in f32, in f64 for several vectors that stand for its last inputs, their axes at any place.
fn check(recorded: Graph, varying: usize, random: &mut Random, what: &str) {
    let graph = in_precision(recorded, FloatDType::F64).unwrap();
    let shapes = graph.inputs.iter().map(|&input| graph.value(input).shape.to_vec());
    let shapes: Vec<Vec<usize>> = shapes.collect();
    let (fixed, varying) = shapes.split_at(graph.inputs.len() - varying);
    let axes: Vec<usize> = varying.iter().map(|shape| random.below(shape.len() + 1)).collect();
    let fixed: Vec<Values> = fixed.iter().map(|shape| values(random, shape)).collect();
    let mut vector =
        || -> Vec<Values> { varying.iter().map(|shape| values(random, shape)).collect() };
    let vectors: Vec<Vec<Values>> = (0..VECTORS).map(|_| vector()).collect();
    let together = with_axes(&graph, &axes, VECTORS, None);
    let stacks = axes.iter().enumerate().map(|(place, &axis)| {
        let parts: Vec<Values> = vectors.iter().map(|vector| vector[place].clone()).collect();
        stack(&parts, axis)
    });
    let found = run(&together.graph, fixed.iter().cloned().chain(stacks).collect());
    for (index, vector) in vectors.iter().enumerate() {
        let expected = run(&graph, fixed.iter().chain(vector).cloned().collect());
        for (place, expected) in expected.iter().enumerate() {
            let shape = &graph.value(graph.outputs[place]).shape;
            let own = entry(&found[place], shape, together.outputs[place], index);
            assert_close(&own, expected, &format!("{what}, output {place}"));
        }
    }
}

#[test]
fn random_programs_for_several_vectors_are_those_for_each() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let sizes = random.of(&[[3, 5], [1, 4], [4, 4], [6, 1]]);
        let length = 10 + random.below(20);
        let graph = program_of_matrices(&mut random, sizes, length);
        let varying = 1 + random.below(graph.inputs.len());
        check(graph, varying, &mut random, &format!("seed {seed}"));
    }
}

/// `x [4, 3]` as `[2, 2, 3]`, times factors for the first two dimensions, for one of them or for none.
#[test]
fn rows_that_are_parted_meet_factors_of_any_shape() {
    for factors in [[2, 2, 1], [2, 1, 1], [1, 2, 1], [1, 1, 3], [2, 1, 3], [2, 2, 3]] {
        for seed in 0..4 {
            let mut builder = GraphBuilder::default();
            let fixed = builder.input(float(&factors));
            let x = builder.input(float(&[4, 3]));
            let parted = builder.node(Op::Reshape, vec![x], vec![float(&[2, 2, 3])])[0];
            let times = Op::Binary(Binary::Mul);
            let y = builder.node(times, vec![parted, fixed], vec![float(&[2, 2, 3])])[0];
            let graph = builder.finish(vec![y]);
            check(graph, 1, &mut Random::new(seed), &format!("{factors:?}"));
        }
    }
}
