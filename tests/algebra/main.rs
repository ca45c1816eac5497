//! Vectors, operators, solvers and spectra on every backend; each test body says on which. `cargo test --test algebra
//! solvers` runs one room, `cargo test --test algebra flex` one backend.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(deprecated)] // Burn deprecates NdArray but still ships it.

#[macro_use]
#[path = "../support/backends.rs"]
mod backends;
#[path = "../support/compare.rs"]
mod compare;
#[path = "../support/counted_steps.rs"]
mod counted_steps;
#[path = "../support/counting.rs"]
mod counting;
#[path = "../support/dense.rs"]
mod dense;
#[path = "../support/failure.rs"]
mod failure;
mod operations;
mod operators;
#[path = "../support/oracle.rs"]
mod oracle;
#[path = "../support/random.rs"]
mod random;
mod solvers;
mod spectrum;
mod vectors;

use backends::{TestBackend, flat, flat_space, on, space_of};
use compare::relative_error;
use oracle::assert_close;
