//! Measuring: interleaved rounds, quartiles, peak memory. Knows neither models
//! nor tensors.

pub mod memory;
mod quartiles;
mod rounds;

pub use quartiles::Quartiles;
pub use rounds::{Plan, Rounds, Samples};
