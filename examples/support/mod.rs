//! What examples, tests and benchmarks share: real data, reference models and
//! reproducible random numbers. Knows Burn; does not know this library.
//!
//! Each program mounts it at its root as `support`, by `mod support;` or with
//! `#[path = "../examples/support/mod.rs"]`.
#![allow(dead_code, reason = "each program uses its own part")]

pub mod digits;
pub mod figures;
pub mod models;
pub mod random;
