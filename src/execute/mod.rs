//! Runs a recorded program on any Burn backend. Depends on graphs and tensors; independent of where a program came
//! from and what it means.
//!
//! [`apply`] runs one operation, [`Program`] a whole graph made ready for many runs, [`replay`] a graph once and with
//! another table of operations. [`adapted`] brings a program to the element types that a device has.

mod activation;
mod call;
mod comparison;
mod conv;
mod creation;
mod dispatch;
mod elementwise;
mod error;
#[cfg(feature = "flex")]
mod host;
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

use burn_backend::{Backend, tensor::Device};

use crate::tensor::Operand;
pub use error::ExecuteError;
pub(crate) use {
    dispatch::{Apply, apply},
    precision::{RECORDED_BOOL, RECORDED_FLOAT, RECORDED_INT, adapted, in_precision, supports},
    program::{Program, replay},
};

/// Whether programs on a device are run by this crate on tensors in the process's memory, and not by the backend.
#[cfg_attr(not(feature = "flex"), allow(unused_variables))]
pub(crate) fn runs_on_host<B: Backend>(device: &Device<B>) -> bool {
    #[cfg(feature = "flex")]
    return host::is_host::<B>(device);
    #[cfg(not(feature = "flex"))]
    return false;
}
