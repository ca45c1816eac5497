//! Passes on small hand-written graphs.

use std::collections::HashMap;

use burn_backend::{DType, Distribution, Shape, TensorData};

use super::*;
use crate::seeds::Seeds;

fn float(shape: &[usize]) -> ValueType {
    ValueType { shape: Shape::from(shape.to_vec()), dtype: DType::F32 }
}

/// `x, v ↦ tanh(x)·v + tanh(x)`, with tanh written twice and one operation nobody needs.
fn example() -> Graph {
    let mut graph = GraphBuilder::default();
    let x = graph.input(float(&[3]));
    let v = graph.input(float(&[3]));
    let a = graph.node(Op::Unary(Unary::Tanh), vec![x], vec![float(&[3])])[0];
    let b = graph.node(Op::Unary(Unary::Tanh), vec![x], vec![float(&[3])])[0];
    graph.node(Op::Unary(Unary::Exp), vec![v], vec![float(&[3])]);
    let product = graph.node(Op::Binary(Binary::Mul), vec![a, v], vec![float(&[3])])[0];
    let sum = graph.node(Op::Binary(Binary::Add), vec![product, b], vec![float(&[3])])[0];
    graph.finish(vec![sum])
}

fn names(graph: &Graph) -> Vec<String> {
    graph.nodes.iter().map(|node| node.op.name()).collect()
}

#[test]
fn dead_code_goes_and_inputs_stay() {
    let graph = example().without_dead_code();
    assert_eq!(names(&graph), ["Tanh", "Tanh", "Mul", "Add"]);
    assert_eq!(graph.inputs.len(), 2);
    graph.validate().expect("a well-formed graph");
}

#[test]
fn a_repeated_computation_is_done_once() {
    let graph = example().without_common_subexpressions().without_dead_code();
    assert_eq!(names(&graph), ["Tanh", "Mul", "Add"]);
    let tanh = graph.nodes[0].outputs[0];
    assert_eq!(graph.nodes[2].inputs[1], tanh);
    graph.validate().expect("a well-formed graph");
}

#[test]
fn random_draws_are_never_merged() {
    let mut graph = GraphBuilder::default();
    let draw = || Op::Random(Distribution::Default);
    let a = graph.node(draw(), vec![], vec![float(&[2])])[0];
    let b = graph.node(draw(), vec![], vec![float(&[2])])[0];
    let sum = graph.node(Op::Binary(Binary::Add), vec![a, b], vec![float(&[2])])[0];
    let graph = graph.finish(vec![sum]).without_common_subexpressions();
    assert_eq!(names(&graph), ["Random", "Random", "Add"]);
}

#[test]
fn operations_that_differ_in_an_attribute_or_type_are_not_merged() {
    let mut graph = GraphBuilder::default();
    let x = graph.input(float(&[2, 2]));
    let a = graph.node(Op::ReduceDim(Reduction::Sum, 0), vec![x], vec![float(&[1, 2])])[0];
    let b = graph.node(Op::ReduceDim(Reduction::Sum, 1), vec![x], vec![float(&[2, 1])])[0];
    let c = graph.node(Op::Reshape, vec![x], vec![float(&[4])])[0];
    let d = graph.node(Op::Reshape, vec![x], vec![float(&[1, 4])])[0];
    let graph = graph.finish(vec![a, b, c, d]).without_common_subexpressions();
    assert_eq!(graph.len(), 4);
}

/// The pass by its definition: every operation is compared with all before it.
fn compared_with_all(mut graph: Graph) -> Graph {
    let mut same_as: HashMap<ValueId, ValueId> = HashMap::new();
    let mut kept: Vec<Node> = Vec::new();
    for mut node in std::mem::take(&mut graph.nodes) {
        node.inputs.iter_mut().for_each(|value| *value = *same_as.get(value).unwrap_or(value));
        let types = |node: &Node| -> Vec<ValueType> {
            node.outputs.iter().map(|&value| graph.value(value).clone()).collect()
        };
        let equal = |other: &&Node| {
            (&node.op, &node.inputs, types(&node)) == (&other.op, &other.inputs, types(other))
        };
        match kept.iter().find(equal) {
            Some(other) => same_as.extend(node.outputs.iter().copied().zip(other.outputs.clone())),
            None => kept.push(node),
        }
    }
    graph.outputs.iter_mut().for_each(|value| *value = *same_as.get(value).unwrap_or(value));
    Graph { nodes: kept, ..graph }
}

#[test]
fn merging_is_what_its_definition_says() {
    for seed in 0..200 {
        let mut seeds = Seeds::new(seed);
        let mut graph = GraphBuilder::default();
        let mut values = vec![graph.input(float(&[2, 2])), graph.input(float(&[2, 2]))];
        for _ in 0..40 {
            let mut below = |bound: usize| (seeds.next() % bound as u64) as usize;
            let [x, y] = [values[below(values.len().min(4))], values[below(values.len())]];
            let (op, inputs) = match below(5) {
                0 => (Op::Unary(Unary::Exp), vec![y]),
                1 => (Op::Binary(Binary::Add), vec![x, y]),
                2 => (Op::ReduceDim(Reduction::Sum, below(2)), vec![x]),
                3 => {
                    let factor = Literal::Float([0.5, -1.0, 2.0][below(3)]);
                    (Op::BinaryScalar(Binary::Mul, factor), vec![x])
                }
                _ => (Op::Full(Literal::Float(below(3) as f64)), vec![]),
            };
            values.extend(graph.node(op, inputs, vec![float(&[2, 2])]));
        }
        let graph = graph.finish(values.split_off(values.len() - 5));
        let merged = graph.clone().without_common_subexpressions();
        let expected = compared_with_all(graph);
        assert_eq!((&merged.nodes, &merged.outputs), (&expected.nodes, &expected.outputs));
        assert!(merged.len() < 40);
    }
}

/// As differentiated loops leave them: one value times 20,000 factors, each twice.
#[test]
fn many_operations_on_one_value_are_merged() {
    let mut graph = GraphBuilder::default();
    let x = graph.input(float(&[2]));
    let scaled: Vec<ValueId> = (0..40_000)
        .map(|at| {
            let factor = Literal::Float(1.0 / (1 + at / 2) as f64);
            graph.node(Op::BinaryScalar(Binary::Mul, factor), vec![x], vec![float(&[2])])[0]
        })
        .collect();
    let graph = graph.finish(scaled).without_common_subexpressions();
    assert_eq!(graph.len(), 20_000);
    assert_eq!(
        graph.outputs[38_998..39_002].windows(2).filter(|pair| pair[0] == pair[1]).count(),
        2
    );
}

#[test]
fn equal_constants_are_one() {
    let mut graph = GraphBuilder::default();
    let a = graph.constant(float(&[2]), TensorData::from([1.0f32, 2.0]));
    let b = graph.constant(float(&[2]), TensorData::from([1.0f32, 2.0]));
    let c = graph.constant(float(&[2]), TensorData::from([1.0f32, 3.0]));
    let ab = graph.node(Op::Binary(Binary::Add), vec![a, b], vec![float(&[2])])[0];
    let abc = graph.node(Op::Binary(Binary::Add), vec![ab, c], vec![float(&[2])])[0];
    let graph = graph.finish(vec![abc]).without_common_subexpressions();
    assert_eq!(graph.constants.len(), 2);
    assert_eq!(graph.nodes[0].inputs, [a, a]);
    graph.validate().expect("a well-formed graph");
}

#[test]
fn a_split_computes_once_what_does_not_vary() {
    let split =
        example().without_common_subexpressions().without_dead_code().split(&[1], |_| false);
    assert_eq!(names(&split.prepare), ["Tanh"]);
    assert_eq!(names(&split.finish), ["Mul", "Add"]);
    assert_eq!(split.prepare.outputs, split.finish.inputs[..1]);
    split.prepare.validate().expect("a well-formed graph");
    split.finish.validate().expect("a well-formed graph");
}

#[test]
fn a_split_hands_through_inputs_and_fixed_outputs() {
    let mut graph = GraphBuilder::default();
    let x = graph.input(float(&[2]));
    let v = graph.input(float(&[2]));
    let fixed = graph.node(Op::Unary(Unary::Exp), vec![x], vec![float(&[2])])[0];
    let varying = graph.node(Op::Binary(Binary::Mul), vec![x, v], vec![float(&[2])])[0];
    let split = graph.finish(vec![varying, fixed]).split(&[1], |_| false);
    assert_eq!(split.prepare.outputs, [x, fixed]);
    assert_eq!(split.finish.outputs, [varying, fixed]);
    split.prepare.validate().expect("a well-formed graph");
    split.finish.validate().expect("a well-formed graph");
}

#[test]
fn a_split_computes_again_what_it_is_told_to_and_its_views() {
    let mut graph = GraphBuilder::default();
    let (x, v) = (graph.input(float(&[2, 3])), graph.input(float(&[3, 2])));
    let exp = graph.node(Op::Unary(Unary::Exp), vec![x], vec![float(&[2, 3])])[0];
    let ones = graph.node(Op::Ones, vec![], vec![float(&[2, 3])])[0];
    let view = graph.node(Op::SwapDims(0, 1), vec![ones], vec![float(&[3, 2])])[0];
    let late = graph.node(Op::Binary(Binary::Mul), vec![v, v], vec![float(&[3, 2])])[0];
    let sum = graph.node(Op::Binary(Binary::Add), vec![late, view], vec![float(&[3, 2])])[0];
    let split = graph.finish(vec![sum, exp]).split(&[1], |node| node.op == Op::Ones);
    assert_eq!(names(&split.prepare), ["Exp"]);
    assert_eq!(names(&split.finish), ["Mul", "Ones", "SwapDims", "Add"]);
    assert_eq!(split.prepare.outputs, [exp]);
    split.finish.validate().expect("a well-formed graph");
}

#[test]
fn the_last_use_of_a_value_read_twice_is_its_last_position() {
    let mut graph = GraphBuilder::default();
    let x = graph.input(float(&[2]));
    let square = graph.node(Op::Binary(Binary::Mul), vec![x, x], vec![float(&[2])])[0];
    let graph = graph.finish(vec![square]);
    assert_eq!(graph.last_uses(), [vec![false, true]]);
}

#[test]
fn an_output_has_no_last_use() {
    let graph = example();
    let uses = graph.last_uses();
    assert_eq!(uses[4], [true, true]);
    let mut graph = graph;
    graph.outputs.push(graph.nodes[3].outputs[0]);
    assert_eq!(graph.last_uses()[4], [false, true]);
}

#[test]
fn a_transposed_product_is_a_product_of_transposes() {
    let mut graph = GraphBuilder::default();
    let a = graph.input(float(&[2, 3]));
    let b = graph.input(float(&[5, 3]));
    let bt = graph.node(Op::SwapDims(0, 1), vec![b], vec![float(&[3, 5])])[0];
    let product = graph.node(Op::Matmul, vec![a, bt], vec![float(&[2, 5])])[0];
    let result = graph.node(Op::SwapDims(1, 0), vec![product], vec![float(&[5, 2])])[0];
    let graph = graph.finish(vec![result]);
    let inside = graph.clone().with_transposes_inside_products();
    assert_eq!(names(&inside), ["SwapDims", "Matmul"]);
    assert_eq!(inside.nodes[0].inputs, [a]);
    assert_eq!(inside.nodes[1].inputs, [b, inside.nodes[0].outputs[0]]);
    inside.validate().expect("a well-formed graph");
    let mut shared = graph;
    shared.outputs.push(product);
    assert_eq!(shared.clone().with_transposes_inside_products().nodes, shared.nodes);
}

#[test]
fn a_graph_that_reads_ahead_is_refused() {
    let mut graph = example();
    graph.nodes.swap(0, 3);
    assert!(matches!(graph.validate(), Err(GraphError::Undefined { .. })));
    let mut twice = example();
    twice.nodes[1].outputs = twice.nodes[0].outputs.clone();
    assert!(matches!(twice.validate(), Err(GraphError::DefinedTwice { .. })));
}

#[test]
fn listings_and_drawings_name_every_operation() {
    let graph = example();
    let listing = graph.to_string();
    assert!(listing.starts_with("program(%0: f32[3], %1: f32[3]) {"), "{listing}");
    assert!(listing.contains("return %6"), "{listing}");
    let dot = graph.to_dot();
    assert!(dot.starts_with("digraph"));
    for name in ["Tanh", "Exp", "Mul", "Add"] {
        assert!(listing.contains(name) && dot.contains(name), "{name}");
    }
}
