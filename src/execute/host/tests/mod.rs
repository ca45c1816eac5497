//! Random programs give what they give when every operation is the backend's.

mod products;

use burn::backend::Flex;
use burn_backend::{DType, FloatDType, Shape, TensorData};

use super::{plan, plan::Work};
use crate::{
    execute::{Program, apply, in_precision, replay},
    graph::{Binary, Graph, GraphBuilder, Literal, Op, Unary, ValueId, ValueType},
    seeds::Seeds,
    tensor::Operand,
};

/// Numbers and choices drawn at random.
struct Random(Seeds);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Seeds::new(seed))
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.0.next() % bound as u64) as usize
    }

    fn number(&mut self) -> f64 {
        (self.0.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

fn float(shape: &[usize]) -> ValueType {
    ValueType { shape: Shape::from(shape.to_vec()), dtype: DType::F32 }
}

/// A program under construction, over matrices, rows, columns and single numbers.
struct Draft {
    builder: GraphBuilder,
    values: Vec<(ValueId, Vec<usize>)>,
    sizes: [usize; 2],
}

impl Draft {
    fn add(&mut self, op: Op, inputs: Vec<ValueId>, shape: &[usize]) {
        let value = self.builder.node(op, inputs, vec![float(shape)])[0];
        self.values.push((value, shape.to_vec()));
    }

    /// One more operation on values drawn at random.
    fn grow(&mut self, random: &mut Random) {
        let [rows, columns] = self.sizes;
        let (x, shape) = random.of(&self.values);
        let binary = random.of(&[Binary::Add, Binary::Sub, Binary::Mul, Binary::Div]);
        let unary = random.of(&[
            Unary::Neg,
            Unary::Abs,
            Unary::Exp,
            Unary::Tanh,
            Unary::Recip,
            Unary::Erf,
            Unary::Sqrt,
            Unary::Sin,
        ]);
        match random.below(12) {
            0..5 => {
                let (y, other) = random.of(&self.values);
                let sizes: Vec<usize> = match (shape.len(), other.len()) {
                    (2, 2) => (0..2).map(|axis| shape[axis].max(other[axis])).collect(),
                    _ if shape == other => shape.clone(),
                    _ => return,
                };
                let fits = |own: &[usize]| own.iter().zip(&sizes).all(|(&a, &b)| a == b || a == 1);
                if fits(&shape) && fits(&other) {
                    self.add(Op::Binary(binary), vec![x, y], &sizes);
                }
            }
            5 => self.add(Op::Binary(binary), vec![x, x], &shape),
            6 => {
                self.add(Op::BinaryScalar(binary, Literal::Float(random.number())), vec![x], &shape)
            }
            7 => {
                let power = Literal::Int(random.of(&[2, -1, 3]));
                self.add(Op::BinaryScalar(Binary::Powi, power), vec![x], &shape);
            }
            8 => self.add(Op::Unary(unary), vec![x], &shape),
            9 if shape.len() == 2 => self.add(Op::SwapDims(0, 1), vec![x], &[shape[1], shape[0]]),
            // The backend's own.
            10 => {
                let bound = |number| Some(Literal::Float(number));
                let op = Op::Clamp { min: bound(-2.0), max: bound(2.0) };
                self.add(op, vec![x], &shape);
            }
            11 => {
                let count: usize = shape.iter().product();
                let other = if count == rows * columns {
                    random.of(&[vec![rows, columns], vec![columns, rows], vec![count]])
                } else {
                    random.of(&[vec![count, 1], vec![1, count], vec![count]])
                };
                self.add(Op::Reshape, vec![x], &other);
            }
            _ => {}
        }
    }
}

fn program(random: &mut Random, [rows, columns]: [usize; 2], length: usize) -> Graph {
    let mut builder = GraphBuilder::default();
    let shapes =
        [vec![rows, columns], vec![1, columns], vec![rows, 1], vec![1, 1], vec![columns, rows]];
    let values = shapes.map(|shape| (builder.input(float(&shape)), shape));
    let mut draft = Draft { builder, values: values.to_vec(), sizes: [rows, columns] };
    for _ in 0..length {
        draft.grow(random);
    }
    let outputs = (0..4).map(|_| random.of(&draft.values).0).collect::<Vec<_>>();
    let last = draft.values.last().expect("inputs").0;
    draft.builder.finish(outputs.into_iter().chain([last]).collect())
}

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

/// Runs a graph recorded in f32, in both precisions and twice each, against the backend's operations.
fn check(recorded: &Graph, random: &mut Random, errors: [f64; 2], what: &str) {
    let device = Default::default();
    for (dtype, error) in [FloatDType::F32, FloatDType::F64].into_iter().zip(errors) {
        let graph = in_precision(recorded.clone(), dtype).expect("castable");
        let inputs = inputs(random, &graph);
        let expected = replay(&graph, &device, inputs.clone(), apply::<Flex>).expect("a run");
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
        let steps = plan::steps(&graph);
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
    let steps = plan::steps(&builder.finish(vec![y]));
    let [step] = &steps[..] else { panic!("{} steps", steps.len()) };
    let Work::Chain(chain) = &step.work else { panic!("no chain") };
    assert_eq!((chain.code.len(), chain.results, chain.registers), (4, 1, 1));
}
