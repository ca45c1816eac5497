//! Measurement: interleaved rounds, quartiles, peak memory. Independent of models and tensors.

pub mod device;
pub mod memory;
mod quartiles;
mod rounds;

pub use quartiles::Quartiles;
pub use rounds::{Plan, Rounds, Samples};
