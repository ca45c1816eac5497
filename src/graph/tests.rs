//! Passes on small hand-written graphs.

use burn_backend::{DType, Distribution, Shape, TensorData};

use super::*;

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
