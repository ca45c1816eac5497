//! Programs drawn at random.

use burn_backend::{DType, Shape};

use crate::{
    graph::{Binary, Graph, GraphBuilder, Literal, Op, Reduction, Unary, ValueId, ValueType},
    seeds::Seeds,
};

/// Numbers and choices drawn at random.
pub(crate) struct Random(Seeds);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(Seeds::new(seed))
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.0.next() % bound as u64) as usize
    }

    pub fn number(&mut self) -> f64 {
        (self.0.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

pub(crate) fn float(shape: &[usize]) -> ValueType {
    ValueType { shape: Shape::from(shape.to_vec()), dtype: DType::F32 }
}

/// A program under construction, over matrices, rows, columns and single numbers.
struct Draft {
    builder: GraphBuilder,
    values: Vec<(ValueId, Vec<usize>)>,
    sizes: [usize; 2],
}

impl Draft {
    fn new([rows, columns]: [usize; 2]) -> Self {
        let mut builder = GraphBuilder::default();
        let shapes =
            [vec![rows, columns], vec![1, columns], vec![rows, 1], vec![1, 1], vec![columns, rows]];
        let values = shapes.map(|shape| (builder.input(float(&shape)), shape));
        Self { builder, values: values.to_vec(), sizes: [rows, columns] }
    }

    /// The program, with some of its values and the last one as outputs.
    fn finish(self, random: &mut Random) -> Graph {
        let outputs = (0..4).map(|_| random.of(&self.values).0).collect::<Vec<_>>();
        let last = self.values.last().map(|&(value, _)| value);
        self.builder.finish(outputs.into_iter().chain(last).collect())
    }

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
                if shape.len() != other.len() {
                    return;
                }
                let sizes: Vec<usize> =
                    shape.iter().zip(&other).map(|(&one, &other)| one.max(other)).collect();
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

    /// One more operation on matrices, or on a batch of them.
    fn grow_by_matrices(&mut self, random: &mut Random) {
        let (x, shape) = random.of(&self.values);
        let rank = shape.len();
        match random.below(6) {
            0 | 1 => {
                let (y, other) = random.of(&self.values);
                let (&[ref batch @ .., m, k], &[ref of_y @ .., l, n]) = (&shape[..], &other[..])
                else {
                    return;
                };
                if k == l && batch == of_y && (m * n) < 500 {
                    self.add(Op::Matmul, vec![x, y], &[batch, &[m, n]].concat());
                }
            }
            2 if rank > 1 => {
                let dim = random.below(rank);
                let mut sum = shape.clone();
                sum[dim] = 1;
                self.add(Op::ReduceDim(Reduction::Sum, dim), vec![x], &sum);
            }
            3 if rank > 1 => {
                let mut axes: Vec<usize> = (0..rank).collect();
                axes.swap(0, random.below(rank));
                axes.swap(rank - 1, random.below(rank));
                let turned: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
                self.add(Op::Permute(axes), vec![x], &turned);
            }
            4 if rank == 2 => {
                let [rows, columns] = [shape[0], shape[1]];
                let parts = if rows.is_multiple_of(2) { 2 } else { 1 };
                let batch = random.of(&[
                    vec![1, rows, columns],
                    vec![rows, 1, columns],
                    vec![parts, rows / parts, columns],
                ]);
                self.add(Op::Reshape, vec![x], &batch);
            }
            5 if rank == 3 => {
                let [a, b, c] = [shape[0], shape[1], shape[2]];
                self.add(Op::Reshape, vec![x], &random.of(&[vec![a * b, c], vec![a, b * c]]));
            }
            _ => {}
        }
    }
}

/// A program of operations element by element, and views.
pub(crate) fn program(random: &mut Random, sizes: [usize; 2], length: usize) -> Graph {
    let mut draft = Draft::new(sizes);
    for _ in 0..length {
        draft.grow(random);
    }
    draft.finish(random)
}

/// One with matrix products, sums and dimensions in another order too.
pub(crate) fn program_of_matrices(random: &mut Random, sizes: [usize; 2], length: usize) -> Graph {
    let mut draft = Draft::new(sizes);
    for _ in 0..length {
        match random.below(3) {
            0 => draft.grow(random),
            _ => draft.grow_by_matrices(random),
        }
    }
    draft.finish(random)
}
