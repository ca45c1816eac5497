//! Runs a recorded program on any Burn backend. Knows operations and values, not where a program came from or what
//! it means.
//!
//! [`apply`] runs one operation, [`Program`] a whole graph made ready for many runs, [`replay`] a graph once and with
//! another table of operations. [`adapted`] brings a program to the element types that a device has.

mod activation;
mod arity;
mod call;
mod comparison;
mod conv;
mod creation;
mod dispatch;
mod elementwise;
mod error;
mod indexing;
mod module;
mod movement;
mod pool;
mod precision;
mod program;
mod reduction;
#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
pub(crate) mod tests;

use crate::tensor::Operand;
pub use error::ExecuteError;
#[allow(unused_imports)] // Written for rooms above this one.
pub(crate) use {
    call::{Call, Results},
    dispatch::apply,
    precision::{RECORDED_BOOL, RECORDED_FLOAT, RECORDED_INT, adapted, in_precision, supports},
    program::{Program, replay},
};
