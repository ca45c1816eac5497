//! One row of the table: an operation, its inputs and where they may lie.

use burn_backend::{DType, Shape};

use crate::graph::{Op, ValueType};

/// The range of a float input. Each is a curved function of a free parameter, so that second derivatives of the
/// operation and of what precedes it both count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Domain {
    /// `p + sin p`.
    Real,
    /// `exp(p/2)`.
    Positive,
    /// `0.8·sin p`.
    Unit,
    /// `1.2 + p²`.
    AboveOne,
    /// `p/5 + sin(p)/5`.
    Small,
    /// `p`.
    Plain,
    /// No parameter: a constant.
    Fixed,
}

/// An input.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Float(Vec<usize>, Domain),
    /// A constant with these elements.
    Given(Vec<usize>, Vec<f64>),
    Int(Vec<usize>, Vec<i64>),
    Bool(Vec<usize>, Vec<bool>),
}

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub name: String,
    pub op: Op,
    pub inputs: Vec<Input>,
    pub outputs: Vec<ValueType>,
}

impl Case {
    pub fn new(name: &str, op: Op, inputs: Vec<Input>, output: &[usize]) -> Self {
        Self { name: name.into(), op, inputs, outputs: vec![float(output)] }
    }

    /// With one more output, of indices.
    pub fn with_indices(mut self, shape: &[usize]) -> Self {
        self.outputs.push(ValueType { shape: Shape::from(shape.to_vec()), dtype: DType::I64 });
        self
    }
}

pub(super) fn float(shape: &[usize]) -> ValueType {
    ValueType { shape: Shape::from(shape.to_vec()), dtype: DType::F64 }
}

pub(super) fn real(shape: &[usize]) -> Input {
    Input::Float(shape.to_vec(), Domain::Real)
}

pub(super) fn positive(shape: &[usize]) -> Input {
    Input::Float(shape.to_vec(), Domain::Positive)
}

pub(super) fn unit(shape: &[usize]) -> Input {
    Input::Float(shape.to_vec(), Domain::Unit)
}

pub(super) fn above_one(shape: &[usize]) -> Input {
    Input::Float(shape.to_vec(), Domain::AboveOne)
}

pub(super) fn small(shape: &[usize]) -> Input {
    Input::Float(shape.to_vec(), Domain::Small)
}

pub(super) fn fixed(shape: &[usize]) -> Input {
    Input::Float(shape.to_vec(), Domain::Fixed)
}

pub(super) fn given(shape: &[usize], values: &[f64]) -> Input {
    Input::Given(shape.to_vec(), values.to_vec())
}

pub(super) fn ints(shape: &[usize], values: &[i64]) -> Input {
    assert_eq!(shape.iter().product::<usize>(), values.len());
    Input::Int(shape.to_vec(), values.to_vec())
}

/// True at the given flat positions.
pub(super) fn bools(shape: &[usize], set: &[usize]) -> Input {
    let count = shape.iter().product();
    Input::Bool(shape.to_vec(), (0..count).map(|index| set.contains(&index)).collect())
}
