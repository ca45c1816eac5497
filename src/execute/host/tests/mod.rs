//! Random programs give what they give when every operation is the backend's.

mod convolutions;
mod places;
mod pools;
mod products;

use burn::backend::Flex;
use burn_backend::{BoolStore, DType, FloatDType, Shape, TensorData};
use burn_flex::FlexDevice;

use super::{functions, plan, plan::Work};
use crate::{
    execute::{
        ExecuteError, Program, apply, in_precision, replay,
        tests::random::{Random, float, program},
    },
    graph::{Binary, Comparison, Graph, GraphBuilder, Literal, Op, Unary, ValueId, ValueType},
    tensor::Operand,
};

fn inputs(random: &mut Random, graph: &Graph) -> Vec<Operand<Flex>> {
    let one = |value: &ValueId| {
        let ty = graph.value(*value);
        let numbers: Vec<f64> = (0..ty.shape.num_elements()).map(|_| random.number()).collect();
        let data = TensorData::new(numbers, ty.shape.clone());
        let data = data.try_cast(ty.dtype).expect("a float type");
        Operand::from_data(data, &Default::default()).expect("a plain kind")
    };
    graph.inputs.iter().map(one).collect()
}

fn numbers(operands: Vec<Operand<Flex>>) -> Vec<(Shape, Vec<f64>)> {
    let read = |operand: Operand<Flex>| {
        let data = operand.clone().into_data().expect("readable");
        (operand.shape(), data.iter::<f64>().collect())
    };
    operands.into_iter().map(read).collect()
}

/// Of results in f32 and in f64, relative to the largest number.
const ERRORS: [f64; 2] = [1e-5, 1e-13];

type Numbers = [(Shape, Vec<f64>)];

/// Equality up to an error relative to the largest number.
fn assert_close(found: &Numbers, expected: &Numbers, error: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    for ((shape, found), (other, expected)) in found.iter().zip(expected) {
        assert_eq!((shape, found.len()), (other, expected.len()), "{what}");
        let size = expected
            .iter()
            .copied()
            .filter(|x| x.is_finite())
            .fold(0.0, |m: f64, x| m.max(x.abs()));
        for (x, y) in found.iter().zip(expected) {
            let same = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= error * size;
            assert!(same, "{what}: {x} instead of {y}");
        }
    }
}

/// An operation by the backend, but for the functions of f32 that are approximated here: these by themselves, on all elements
/// at once.
fn reference(
    op: &Op,
    inputs: Vec<Operand<Flex>>,
    types: &[ValueType],
    device: &FlexDevice,
) -> Result<Vec<Operand<Flex>>, ExecuteError> {
    let function = match op {
        Op::Unary(Unary::Exp) => functions::exp,
        Op::Unary(Unary::Tanh) => functions::tanh,
        Op::Unary(Unary::Erf) => functions::erf,
        _ => return apply(op, inputs, types, device),
    };
    let x = inputs[0].clone().into_data().expect("readable");
    if x.dtype() != DType::F32 {
        return apply(op, inputs, types, device);
    }
    let mut numbers: Vec<f32> = x.iter::<f32>().collect();
    function(&mut numbers);
    let result = TensorData::new(numbers, types[0].shape.clone());
    Ok(vec![Operand::from_data(result, device).expect("a plain kind")])
}

/// Runs a graph recorded in f32, in both precisions and twice each, against the backend's operations.
fn check(recorded: &Graph, random: &mut Random, errors: [f64; 2], what: &str) {
    let device = Default::default();
    for (dtype, error) in [FloatDType::F32, FloatDType::F64].into_iter().zip(errors) {
        let graph = in_precision(recorded.clone(), dtype).expect("castable");
        let inputs = inputs(random, &graph);
        let expected = replay(&graph, &device, inputs.clone(), reference).expect("a run");
        let expected = numbers(expected);
        let program = Program::new(graph, &device, apply::<Flex>).expect("a good graph");
        for run in 0..2 {
            let found = numbers(program.run(inputs.clone()).expect("a run"));
            assert_close(&found, &expected, error, &format!("{what}, {dtype:?}, run {run}"));
        }
    }
}

/// Element by element, results are the same bits.
#[test]
fn random_programs_equal_the_backends_operations() {
    let mut chains = 0;
    for seed in 0..120 {
        let mut random = Random::new(seed);
        let sizes = random.of(&[[3, 5], [1, 7], [4, 4], [37, 113], [200, 701]]);
        let length = if sizes == [200, 701] { 12 } else { 40 };
        let graph = program(&mut random, sizes, length);
        let steps = plan::steps(&graph).0;
        chains += steps.iter().filter(|step| matches!(step.work, Work::Chain(_))).count();
        check(&graph, &mut random, [0.0; 2], &format!("seed {seed}"));
    }
    assert!(chains > 500, "{chains}");
}

/// `y = tanh(a·x + b)·x` with a row b and a column a, by one chain with one result.
#[test]
fn a_formula_is_one_chain() {
    let mut builder = GraphBuilder::default();
    let [x, a, b] = [[3, 5], [3, 1], [1, 5]].map(|shape| builder.input(float(&shape)));
    let mut node = |op, inputs| builder.node(op, inputs, vec![float(&[3, 5])])[0];
    let product = node(Op::Binary(Binary::Mul), vec![a, x]);
    let sum = node(Op::Binary(Binary::Add), vec![product, b]);
    let tanh = node(Op::Unary(Unary::Tanh), vec![sum]);
    let y = node(Op::Binary(Binary::Mul), vec![tanh, x]);
    let steps = plan::steps(&builder.finish(vec![y])).0;
    let [step] = &steps[..] else { panic!("{} steps", steps.len()) };
    let Work::Chain(chain) = &step.work else { panic!("no chain") };
    assert_eq!((chain.code.len(), chain.results, chain.registers), (4, 1, 1));
}

/// A relu and its gradient are two chains: with NaN, zeros of both signs and infinities, the same bits.
#[test]
fn a_relu_and_its_mask_are_run_in_chains() {
    let shape = [40, 8];
    let mut builder = GraphBuilder::default();
    let [x, b, g] = [[40, 8], [1, 8], [40, 8]].map(|shape| builder.input(float(&shape)));
    let mut node = |op, inputs, dtype| {
        builder.node(op, inputs, vec![ValueType { shape: shape.into(), dtype }])[0]
    };
    let float = DType::F32;
    let sum = node(Op::Binary(Binary::Add), vec![x, b], float);
    let is_larger = Op::CompareScalar(Comparison::Greater, Literal::Float(0.0));
    let larger = node(is_larger.clone(), vec![sum], DType::Bool(BoolStore::Native));
    let mask = node(Op::Cast, vec![larger], float);
    let relu = node(Op::Unary(Unary::Relu), vec![sum], float);
    let back = node(Op::Binary(Binary::Mul), vec![g, mask], float);
    // A comparison that is returned is the backend's.
    let returned = node(is_larger, vec![g], DType::Bool(BoolStore::Native));
    let number = node(Op::Cast, vec![returned], float);
    let graph = builder.finish(vec![relu, back, returned, number]);
    let chains = plan::steps(&graph).0;
    let chains = chains.iter().filter(|step| matches!(step.work, Work::Chain(_)));
    assert_eq!(chains.count(), 2);
    let device = Default::default();
    let special = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.5, -1.5, 1e-40];
    let numbers_of = |step: usize, count: usize, shape: [usize; 2]| {
        let numbers: Vec<f32> = (0..count).map(|i| special[i * step % 8]).collect();
        Operand::<Flex>::from_data(TensorData::new(numbers, shape), &device).expect("floats")
    };
    let zeros = TensorData::new(vec![-0.0f32; 8], [1, 8]);
    let inputs = vec![
        numbers_of(1, 320, shape),
        Operand::from_data(zeros, &device).expect("floats"),
        numbers_of(3, 320, shape),
    ];
    let expected = replay(&graph, &device, inputs.clone(), apply::<Flex>).expect("a run");
    let program = Program::new(graph, &device, apply::<Flex>).expect("a good graph");
    let bits = |all: Vec<Operand<Flex>>| -> Vec<Vec<u64>> {
        let all = numbers(all).into_iter();
        // All NaN are the same here.
        all.map(|(_, all)| all.iter().map(|x| if x.is_nan() { 1 } else { x.to_bits() }).collect())
            .collect()
    };
    assert_eq!(bits(program.run(inputs).expect("a run")), bits(expected));
}

/// Zeros of both signs are different numbers.
#[test]
fn a_chain_keeps_the_signs_of_its_zeros() {
    let mut builder = GraphBuilder::default();
    let x = builder.input(float(&[3, 5]));
    let mut node = |op, inputs| builder.node(op, inputs, vec![float(&[3, 5])])[0];
    let mut inverse_of_zero = |zero| {
        let square = node(Op::BinaryScalar(Binary::Powi, Literal::Int(2)), vec![x]);
        let zero = node(Op::BinaryScalar(Binary::Mul, Literal::Float(zero)), vec![square]);
        node(Op::Unary(Unary::Recip), vec![zero])
    };
    let [plus, minus] = [0.0, -0.0].map(&mut inverse_of_zero);
    let sum = node(Op::Binary(Binary::Mul), vec![plus, minus]);
    check(&builder.finish(vec![sum]), &mut Random::new(1), [0.0; 2], "signs");
}

/// Rows in another order are copied, on one thread and on several.
#[test]
fn rows_in_another_order_are_copied() {
    for [a, b, c] in [[3, 4, 5], [40, 50, 64]] {
        let mut builder = GraphBuilder::default();
        let x = builder.input(float(&[a, b, c]));
        let turned = builder.node(Op::Permute(vec![1, 0, 2]), vec![x], vec![float(&[b, a, c])])[0];
        let flat = builder.node(Op::Reshape, vec![turned], vec![float(&[b * a, c])])[0];
        check(&builder.finish(vec![flat]), &mut Random::new(1), [0.0; 2], "rows");
    }
}

/// Each value that a step writes is given up once, unless it is returned: its memory serves again.
#[test]
fn every_value_ends_once() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let graph = program(&mut random, [4, 7], 40);
        let mut ended = Vec::new();
        for step in plan::steps(&graph).0 {
            ended.extend(step.ends);
            if let Work::Operation(handed) = step.work {
                let inputs = graph.nodes[step.node].inputs.iter().zip(handed);
                ended.extend(inputs.filter(|(_, handed)| *handed).map(|(&value, _)| value));
            }
        }
        let is_returned = |value| graph.outputs.contains(value);
        let given = graph.inputs.iter().filter(|value| !is_returned(value));
        let mut once = ended.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ended.len(), "seed {seed}");
        assert!(!ended.iter().any(is_returned));
        let read = |value: &&ValueId| graph.nodes.iter().any(|node| node.inputs.contains(value));
        assert!(given.filter(read).all(|value| ended.contains(value)), "seed {seed}");
    }
}
