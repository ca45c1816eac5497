//! From a loss program to its derivative programs. Knows operations and Burn's autodiff, not models or solvers.

#[allow(dead_code, unused_imports)] // Until the derivative programs use it.
mod fold;
#[allow(dead_code, unused_imports)] // Until the derivative programs use it.
mod lower;
