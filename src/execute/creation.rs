//! Runs operations that create tensors.

use burn_backend::{Backend, Distribution};

use super::call::{Call, Results, bool, float, int};
use crate::graph::{Kind, Literal};

/// Zeros, or ones.
pub(super) fn constant<B: Backend>(call: &Call<B>, one: bool) -> Results<B> {
    let ty = call.output(0)?;
    let shape = ty.shape.clone();
    match (ty.kind(), one) {
        // Not `float_zeros`, for which Flex allocates twice and copies.
        (Kind::Float, false) => {
            let zero = Literal::Float(0.0);
            float(B::float_full(shape, zero.into(), call.device, call.float_dtype(0)?))
        }
        (Kind::Float, true) => float(B::float_ones(shape, call.device, call.float_dtype(0)?)),
        (Kind::Int, false) => int(B::int_zeros(shape, call.device, call.int_dtype(0)?)),
        (Kind::Int, true) => int(B::int_ones(shape, call.device, call.int_dtype(0)?)),
        (Kind::Bool, false) => bool(B::bool_zeros(shape, call.device, call.bool_dtype(0)?)),
        (Kind::Bool, true) => bool(B::bool_ones(shape, call.device, call.bool_dtype(0)?)),
    }
}

/// One literal everywhere.
pub(super) fn full<B: Backend>(call: &Call<B>, value: Literal) -> Results<B> {
    let ty = call.output(0)?;
    let shape = ty.shape.clone();
    match ty.kind() {
        Kind::Float => {
            let dtype = call.float_dtype(0)?;
            float(B::float_full(shape, value.into(), call.device, dtype))
        }
        Kind::Int => {
            let dtype = call.int_dtype(0)?;
            int(B::int_full(shape, value.into(), call.device, dtype))
        }
        Kind::Bool => constant(call, value.as_f64() != 0.0),
    }
}

/// A random draw from the backend's generator.
pub(super) fn random<B: Backend>(call: &Call<B>, distribution: Distribution) -> Results<B> {
    let ty = call.output(0)?;
    let shape = ty.shape.clone();
    match ty.kind() {
        Kind::Float => {
            let dtype = call.float_dtype(0)?;
            float(B::float_random(shape, distribution, call.device, dtype))
        }
        Kind::Int => {
            let dtype = call.int_dtype(0)?;
            int(B::int_random(shape, distribution, call.device, dtype))
        }
        Kind::Bool => Err(call.unsupported("a float or int result")),
    }
}
