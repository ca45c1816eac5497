//! From a loss program to its derivative programs. Knows operations and Burn's autodiff, not models or solvers.

pub(crate) mod fold;
mod lower;
