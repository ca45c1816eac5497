//! Runs comparisons, whose results are bool.

use burn_backend::{
    Backend, BoolDType, Scalar,
    tensor::{BoolTensor, FloatTensor, IntTensor},
};

use super::{
    Operand,
    call::{Call, Results, bool},
};
use crate::graph::{Comparison, Literal};

const BOTH: &str = "two float or two int; bool has only Equal and NotEqual";

/// Two operands.
pub(super) fn compare<B: Backend>(mut call: Call<B>, comparison: Comparison) -> Results<B> {
    let dtype = call.bool_dtype(0)?;
    match (call.any()?, call.any()?) {
        (Operand::Float(x), Operand::Float(y)) => bool(floats::<B>(comparison, x, y, dtype)),
        (Operand::Int(x), Operand::Int(y)) => bool(ints::<B>(comparison, x, y, dtype)),
        (Operand::Bool(x), Operand::Bool(y)) => match comparison {
            Comparison::Equal => bool(B::bool_equal(x, y)),
            Comparison::NotEqual => bool(B::bool_not_equal(x, y)),
            _ => Err(call.unsupported(BOTH)),
        },
        _ => Err(call.unsupported(BOTH)),
    }
}

/// An operand and a literal.
pub(super) fn compare_scalar<B: Backend>(
    mut call: Call<B>,
    comparison: Comparison,
    literal: Literal,
) -> Results<B> {
    let dtype = call.bool_dtype(0)?;
    let y = literal.into();
    match call.any()? {
        Operand::Float(x) => bool(float_scalar::<B>(comparison, x, y, dtype)),
        Operand::Int(x) => bool(int_scalar::<B>(comparison, x, y, dtype)),
        Operand::Bool(x) => match comparison {
            Comparison::Equal => bool(B::bool_equal_elem(x, y)),
            Comparison::NotEqual => bool(B::bool_not_equal_elem(x, y)),
            _ => Err(call.unsupported("float or int; bool has only Equal and NotEqual")),
        },
    }
}

fn floats<B: Backend>(
    comparison: Comparison,
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    dtype: BoolDType,
) -> BoolTensor<B> {
    match comparison {
        Comparison::Equal => B::float_equal(x, y, dtype),
        Comparison::NotEqual => B::float_not_equal(x, y, dtype),
        Comparison::Greater => B::float_greater(x, y, dtype),
        Comparison::GreaterEqual => B::float_greater_equal(x, y, dtype),
        Comparison::Lower => B::float_lower(x, y, dtype),
        Comparison::LowerEqual => B::float_lower_equal(x, y, dtype),
    }
}

fn ints<B: Backend>(
    comparison: Comparison,
    x: IntTensor<B>,
    y: IntTensor<B>,
    dtype: BoolDType,
) -> BoolTensor<B> {
    match comparison {
        Comparison::Equal => B::int_equal(x, y, dtype),
        Comparison::NotEqual => B::int_not_equal(x, y, dtype),
        Comparison::Greater => B::int_greater(x, y, dtype),
        Comparison::GreaterEqual => B::int_greater_equal(x, y, dtype),
        Comparison::Lower => B::int_lower(x, y, dtype),
        Comparison::LowerEqual => B::int_lower_equal(x, y, dtype),
    }
}

fn float_scalar<B: Backend>(
    comparison: Comparison,
    x: FloatTensor<B>,
    y: Scalar,
    dtype: BoolDType,
) -> BoolTensor<B> {
    match comparison {
        Comparison::Equal => B::float_equal_elem(x, y, dtype),
        Comparison::NotEqual => B::float_not_equal_elem(x, y, dtype),
        Comparison::Greater => B::float_greater_elem(x, y, dtype),
        Comparison::GreaterEqual => B::float_greater_equal_elem(x, y, dtype),
        Comparison::Lower => B::float_lower_elem(x, y, dtype),
        Comparison::LowerEqual => B::float_lower_equal_elem(x, y, dtype),
    }
}

fn int_scalar<B: Backend>(
    comparison: Comparison,
    x: IntTensor<B>,
    y: Scalar,
    dtype: BoolDType,
) -> BoolTensor<B> {
    match comparison {
        Comparison::Equal => B::int_equal_elem(x, y, dtype),
        Comparison::NotEqual => B::int_not_equal_elem(x, y, dtype),
        Comparison::Greater => B::int_greater_elem(x, y, dtype),
        Comparison::GreaterEqual => B::int_greater_equal_elem(x, y, dtype),
        Comparison::Lower => B::int_lower_elem(x, y, dtype),
        Comparison::LowerEqual => B::int_lower_equal_elem(x, y, dtype),
    }
}
