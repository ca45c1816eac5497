//! Inverse-Hessian-vector products on a toy problem over many seeds, and on a classifier of handwritten digits trained by
//! plain Burn, with every failure reported.
//!
//! Every figure is also printed as a line `name = value`. The program exits with an error when a figure leaves its stated
//! range.
#![allow(clippy::print_stdout)]

mod comparison;
#[path = "../../tests/support/digits.rs"]
mod digits;
#[path = "../../tests/support/figures.rs"]
mod figures;
mod network;
mod notebook;
mod outcomes;
#[path = "../../tests/support/random.rs"]
mod random;
#[path = "../support/solve_line.rs"]
mod solve_line;
#[path = "../../tests/support/trained.rs"]
mod trained;
mod ways;

use std::error::Error;

use figures::Figures;

fn main() -> Result<(), Box<dyn Error>> {
    let mut figures = Figures::default();
    notebook::run(&mut figures)?;
    network::run(&mut figures)?;
    if figures.print() { Ok(()) } else { Err("a figure is out of its range".into()) }
}
