//! Runs a recorded program on any Burn backend. Knows operations and values, not where a program came from or what
//! it means.

mod error;
mod operand;

pub use error::ExecuteError;
pub use operand::Operand;
