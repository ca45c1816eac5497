//! Numbers the values of several programs, so that values with one number are one function of the inputs.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::graph::{Binary, Graph, Literal, Node, Op, Reduction, Unary, ValueId, ValueType};

/// The number of a function of the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Number(u32);

/// A sum: two are the same if their terms are, in any order.
struct Sum {
    /// What was added, itself sums or not.
    of: Vec<Number>,
    /// The sum of the terms' own marks.
    mark: u128,
    /// How many terms there are.
    terms: usize,
}

/// The numbers given so far.
#[derive(Default)]
pub(super) struct Numbering {
    numbers: HashMap<String, Number>,
    sums: HashMap<Number, Sum>,
    /// The sums that each value was added to.
    added_to: HashMap<Number, Vec<Number>>,
    /// Those of zeros.
    zeros: HashSet<Number>,
}

impl Numbering {
    fn number(&mut self, key: String) -> Number {
        let next = Number(u32::try_from(self.numbers.len()).unwrap_or(u32::MAX));
        *self.numbers.entry(key).or_insert(next)
    }

    /// The number of an input.
    pub fn input(&mut self, position: usize) -> Number {
        self.number(format!("input {position}"))
    }

    /// Whether all elements are zero by construction.
    pub fn is_zero(&self, number: Number) -> bool {
        self.zeros.contains(&number)
    }

    /// The number of a tensor of equal elements, which Burn records as an operation or as a constant.
    fn uniform(&mut self, element: f64, ty: &ValueType) -> Number {
        if element == 0.0 { self.zero(ty) } else { self.number(format!("all {element} {ty}")) }
    }

    fn zero(&mut self, ty: &ValueType) -> Number {
        let number = self.number(format!("zero {ty}"));
        self.zeros.insert(number);
        number
    }

    /// A mark of 128 random bits, the sum of those of its terms for a sum, and the number of terms.
    fn mark(&self, of: Number) -> (u128, usize) {
        if let Some(sum) = self.sums.get(&of) {
            return (sum.mark, sum.terms);
        }
        let half = |half: u8| {
            let mut hasher = DefaultHasher::new();
            (of, half).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        (half(0) << 64 | half(1), 1)
    }

    /// How often each term occurs in a sum, up to a number of terms; a value that is no sum is its own only term.
    pub fn terms(&self, of: Number, most: usize) -> Option<HashMap<Number, usize>> {
        if self.mark(of).1 > most {
            return None;
        }
        let (mut terms, mut left) = (HashMap::new(), vec![of]);
        while let Some(next) = left.pop() {
            match self.sums.get(&next) {
                Some(sum) => left.extend(&sum.of),
                None => *terms.entry(next).or_insert(0) += 1,
            }
        }
        Some(terms)
    }

    /// How many terms a sum has.
    pub fn count(&self, of: Number) -> usize {
        self.mark(of).1
    }

    /// The sums that a value was added to.
    pub fn added_to(&self, of: Number) -> &[Number] {
        self.added_to.get(&of).map_or(&[], Vec::as_slice)
    }

    /// What a value is the sum of, as it was added up; nothing for what is no sum.
    pub fn added(&self, of: Number) -> &[Number] {
        self.sums.get(&of).map_or(&[], |sum| &sum.of)
    }

    /// The number of the sum of values of one type; zeros if there are none.
    pub fn sum(&mut self, of: &[Number], ty: &ValueType) -> Number {
        let of: Vec<_> = of.iter().copied().filter(|number| !self.is_zero(*number)).collect();
        match of.as_slice() {
            [] => return self.zero(ty),
            [only] => return *only,
            _ => (),
        }
        let marks = of.iter().map(|&number| self.mark(number));
        let (mark, terms) = marks.fold((0_u128, 0_usize), |(mark, terms), (own, count)| {
            (mark.wrapping_add(own), terms.saturating_add(count))
        });
        let number = self.number(format!("sum {mark:x} {terms} {ty}"));
        if let Entry::Vacant(sum) = self.sums.entry(number) {
            for &part in &of {
                self.added_to.entry(part).or_default().push(number);
            }
            sum.insert(Sum { of, mark, terms });
        }
        number
    }

    /// The numbers of the results of an operation on values of given numbers.
    pub fn results(&mut self, graph: &Graph, node: &Node, inputs: &[Number]) -> Vec<Number> {
        let ty = |value: &ValueId| graph.value(*value);
        if let (Op::Binary(Binary::Add), [output]) = (&node.op, node.outputs.as_slice())
            && node.inputs.iter().all(|input| ty(input) == ty(output))
        {
            return vec![self.sum(inputs, ty(output))];
        }
        if let [output] = node.outputs.as_slice() {
            let element = element(&node.op).or_else(|| self.vanishes(node, inputs).then_some(0.0));
            if let Some(element) = element {
                return vec![self.uniform(element, ty(output))];
            }
        }
        let mut inputs = inputs.to_vec();
        if matches!(node.op, Op::Binary(Binary::Mul)) {
            inputs.sort_unstable();
        }
        let results = node.outputs.iter().enumerate();
        let name =
            |at| value_alone(&node.op).filter(|_| at == 0).unwrap_or_else(|| node.op.clone());
        let keys =
            results.map(|(at, output)| format!("{:?} {inputs:?} {at} {}", name(at), ty(output)));
        keys.collect::<Vec<_>>().into_iter().map(|key| self.number(key)).collect()
    }

    /// Whether an operation gives zeros on values of given numbers.
    fn vanishes(&self, node: &Node, inputs: &[Number]) -> bool {
        let zero = |literal: &Literal| matches!(literal, Literal::Float(x) if *x == 0.0);
        match &node.op {
            Op::BinaryScalar(Binary::Mul, literal) if zero(literal) => true,
            Op::Binary(Binary::Mul) => inputs.iter().any(|input| self.is_zero(*input)),
            Op::Reshape | Op::Expand | Op::SwapDims(..) | Op::Permute(_) | Op::Slice(_) => {
                inputs.iter().all(|input| self.is_zero(*input))
            }
            Op::Unary(Unary::Neg) | Op::BinaryScalar(Binary::Mul, _) => {
                inputs.iter().all(|input| self.is_zero(*input))
            }
            _ => false,
        }
    }

    /// Numbers the inputs, by position, and the constants of a program.
    pub fn begin(&mut self, graph: &Graph, values: &mut Numbers) {
        for (position, &input) in graph.inputs.iter().enumerate() {
            values.set(input, self.input(position));
        }
        for constant in &graph.constants {
            let ty = graph.value(constant.value);
            let mut elements = constant.data.iter::<f64>();
            let first = elements.next();
            let number = match first.filter(|first| elements.all(|element| element == *first)) {
                Some(element) => self.uniform(element, ty),
                None => {
                    let mut hasher = DefaultHasher::new();
                    constant.data.as_bytes().hash(&mut hasher);
                    self.number(format!("constant {ty} {}", hasher.finish()))
                }
            };
            values.set(constant.value, number);
        }
    }

    /// Numbers all values of a program.
    pub fn all(&mut self, graph: &Graph) -> Numbers {
        let mut values = Numbers::new(graph);
        self.begin(graph, &mut values);
        for node in &graph.nodes {
            let inputs: Option<Vec<_>> =
                node.inputs.iter().map(|&input| values.get(input)).collect();
            let results = self.results(graph, node, &inputs.unwrap_or_default());
            for (&output, number) in node.outputs.iter().zip(results) {
                values.set(output, number);
            }
        }
        values
    }
}

/// The element of a tensor that is created with equal elements.
fn element(op: &Op) -> Option<f64> {
    match op {
        Op::Zeros | Op::Full(Literal::Bool(false)) => Some(0.0),
        Op::Ones | Op::Full(Literal::Bool(true)) => Some(1.0),
        Op::Full(Literal::Float(x)) => Some(*x),
        Op::Full(Literal::Int(x)) => Some(*x as f64),
        Op::Full(Literal::UInt(x)) => Some(*x as f64),
        _ => None,
    }
}

/// The operation that gives the first result alone: on a tape, Burn computes indices for the backward pass as well.
fn value_alone(op: &Op) -> Option<Op> {
    match op {
        Op::ExtremumWithIndices { dim, largest: true } => Some(Op::ReduceDim(Reduction::Max, *dim)),
        Op::ExtremumWithIndices { dim, largest: false } => {
            Some(Op::ReduceDim(Reduction::Min, *dim))
        }
        Op::MaxPool { window, indices: true } => {
            Some(Op::MaxPool { window: window.clone(), indices: false })
        }
        _ => None,
    }
}

/// The numbers of the values of one program.
#[derive(Clone)]
pub(super) struct Numbers(Vec<Option<Number>>);

impl Numbers {
    pub fn new(graph: &Graph) -> Self {
        Self(vec![None; graph.values.len()])
    }

    pub fn get(&self, value: ValueId) -> Option<Number> {
        self.0.get(value.index()).copied().flatten()
    }

    pub fn set(&mut self, value: ValueId, number: Number) {
        if let Some(place) = self.0.get_mut(value.index()) {
            *place = Some(number);
        }
    }

    pub fn known(&self) -> impl Iterator<Item = Number> {
        self.0.iter().copied().flatten()
    }
}
