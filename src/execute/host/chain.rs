//! Several operations, element by element, as one: what is computed from what, and in which memory.

use std::collections::HashMap;

use burn_backend::{DType, Shape};

use super::{elements::MOST, lines::Lines};
use crate::graph::{Binary, Comparison, Graph, Node, Op, Unary, ValueId};

/// A function of one or two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Add,
    Sub,
    Mul,
    Div,
    Neg,
    Abs,
    Exp,
    Log,
    Log1p,
    Sqrt,
    Recip,
    Erf,
    Tanh,
    Sin,
    Cos,
    Relu,
    /// Whether the first is larger, as 1 or 0.
    Greater,
}

/// Where an instruction finds an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A tensor from outside, by its position among those.
    Input(usize),
    /// One number everywhere.
    Constant(usize),
    /// A result of the chain.
    Register(usize),
}

/// `to ← function(first, second)`, block by block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Instruction {
    pub function: Function,
    pub first: Source,
    pub second: Option<Source>,
    /// A register, which may be that of an operand.
    pub to: usize,
}

/// A tensor from outside and the shape it is broadcast to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    pub value: ValueId,
    pub shape: Shape,
}

/// A value of the program, and the register that holds it at the end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Output {
    pub value: ValueId,
    pub register: usize,
    pub shape: Shape,
}

/// Operations in one pass over memory. Its first registers are its results, in the order of their first occurrence among
/// the outputs; the others are scratch.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub dtype: DType,
    /// Elements of each result.
    pub len: usize,
    pub inputs: Vec<Input>,
    pub constants: Vec<f64>,
    pub code: Vec<Instruction>,
    pub outputs: Vec<Output>,
    /// How many registers are results.
    pub results: usize,
    /// How many there are.
    pub registers: usize,
}

/// How an operation is run in a chain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Of its operand.
    One(Function),
    /// Of its two operands.
    Two(Function),
    /// Of its operand and a number.
    Number(Function, f64),
    /// Of its operand and itself.
    Itself(Function),
    /// The operand as it is, in another shape or as a number.
    Reshape,
}

/// How an operation is run in a chain, if it can be. Elements must be f32 or f64, shapes those that the operation has.
pub(super) fn step(graph: &Graph, node: &Node) -> Option<Step> {
    let &[output] = &node.outputs[..] else { return None };
    let result = graph.value(output);
    let plain = matches!(result.dtype, DType::F32 | DType::F64);
    let same = |&value: &ValueId| graph.value(value).dtype == result.dtype;
    if !plain || result.shape.num_dims() > MOST || !node.inputs.iter().all(same) {
        return None;
    }
    let step = of_op(&node.op)?;
    let shapes: Vec<&Shape> = node.inputs.iter().map(|&value| &graph.value(value).shape).collect();
    let fits = match (step, &shapes[..]) {
        (Step::Two(_), [first, second]) => broadcast(first, second).as_ref() == Some(&result.shape),
        (Step::Reshape, [shape]) => shape.num_elements() == result.shape.num_elements(),
        (Step::Two(_), _) => false,
        (_, [shape]) => **shape == result.shape,
        _ => false,
    };
    fits.then_some(step)
}

/// How a comparison with a number and the operation that reads its result are run in a chain, if that makes a number of the
/// elements' type of it: as the gradient of a relu does.
pub(super) fn mask(graph: &Graph, comparison: &Node, reader: &Node) -> Option<[Step; 2]> {
    let (Op::CompareScalar(Comparison::Greater, number), Op::Cast) = (&comparison.op, &reader.op)
    else {
        return None;
    };
    let (&[x], &[mask]) = (&comparison.inputs[..], &reader.outputs[..]) else { return None };
    let (x, mask) = (graph.value(x), graph.value(mask));
    let plain = matches!(x.dtype, DType::F32 | DType::F64) && x.shape.num_dims() <= MOST;
    (plain && x == mask).then(|| [Step::Number(Function::Greater, number.as_f64()), Step::Reshape])
}

fn of_op(op: &Op) -> Option<Step> {
    match op {
        Op::Reshape => Some(Step::Reshape),
        Op::Unary(function) => of_unary(*function).map(Step::One),
        Op::Binary(function) => of_binary(*function).map(Step::Two),
        Op::BinaryScalar(function, number) => match (function, number.as_f64()) {
            (Binary::Powi | Binary::Powf, 2.0) => Some(Step::Itself(Function::Mul)),
            (Binary::Powi | Binary::Powf, -1.0) => Some(Step::One(Function::Recip)),
            (function, number) => of_binary(*function).map(|f| Step::Number(f, number)),
        },
        _ => None,
    }
}

fn of_binary(function: Binary) -> Option<Function> {
    match function {
        Binary::Add => Some(Function::Add),
        Binary::Sub => Some(Function::Sub),
        Binary::Mul => Some(Function::Mul),
        Binary::Div => Some(Function::Div),
        _ => None,
    }
}

fn of_unary(function: Unary) -> Option<Function> {
    Some(match function {
        Unary::Neg => Function::Neg,
        Unary::Abs => Function::Abs,
        Unary::Exp => Function::Exp,
        Unary::Log => Function::Log,
        Unary::Log1p => Function::Log1p,
        Unary::Sqrt => Function::Sqrt,
        Unary::Recip => Function::Recip,
        Unary::Erf => Function::Erf,
        Unary::Tanh => Function::Tanh,
        Unary::Sin => Function::Sin,
        Unary::Cos => Function::Cos,
        Unary::Relu => Function::Relu,
        _ => return None,
    })
}

/// The shape that two shapes are broadcast to.
fn broadcast(first: &Shape, second: &Shape) -> Option<Shape> {
    let rank = first.num_dims().max(second.num_dims());
    let size = |shape: &Shape, axis: usize| {
        let missing = rank - shape.num_dims();
        if axis < missing { 1 } else { shape[axis - missing] }
    };
    let sizes = (0..rank).map(|axis| match (size(first, axis), size(second, axis)) {
        (x, y) if x == y || y == 1 => Some(x),
        (1, y) => Some(y),
        _ => None,
    });
    sizes.collect::<Option<Vec<_>>>().map(Shape::from)
}

impl Chain {
    /// The operations at the given positions, in order, each with its step. `is_needed` says whether something outside
    /// reads a value.
    pub fn new(
        graph: &Graph,
        members: &[(usize, Step)],
        is_needed: impl Fn(ValueId) -> bool,
    ) -> Option<Self> {
        let mut lines = Lines::default();
        let mut results: Vec<(ValueId, usize)> = Vec::new();
        for &(position, step) in members {
            let node = &graph.nodes[position];
            let output = *node.outputs.first()?;
            let line = lines.add(node, step, &graph.value(output).shape)?;
            if is_needed(output) {
                results.push((output, line));
            }
        }
        let last = graph.value(graph.nodes[members.last()?.0].outputs[0]);
        let (mut distinct, mut registers) = (Vec::new(), HashMap::new());
        let mut outputs = Vec::with_capacity(results.len());
        for (value, line) in results {
            let register = *registers.entry(line).or_insert_with(|| {
                distinct.push(line);
                distinct.len() - 1
            });
            outputs.push(Output { value, register, shape: graph.value(value).shape.clone() });
        }
        let (code, registers) = lines.allocated(&distinct);
        Some(Self {
            dtype: last.dtype,
            len: last.shape.num_elements(),
            outputs,
            results: distinct.len(),
            registers,
            code,
            inputs: lines.inputs,
            constants: lines.constants,
        })
    }
}
