//! Inverse-Hessian-vector products, told honestly: on a notebook's problem over many seeds, and on a classifier of
//! handwritten digits trained by plain Burn.
//!
//! Tables are for people; every figure also stands on a line `name = value`. The program exits with an error when a
//! figure leaves its stated range.
#![allow(clippy::print_stdout)]

mod digits;
mod notebook;
#[path = "../support/mod.rs"]
mod support;
mod ways;

use std::{error::Error, process::ExitCode};

use support::figures::{Figures, exit_code};

fn main() -> ExitCode {
    exit_code(run)
}

fn run() -> Result<bool, Box<dyn Error>> {
    let mut figures = Figures::default();
    notebook::run(&mut figures)?;
    digits::run(&mut figures)?;
    Ok(figures.print())
}
