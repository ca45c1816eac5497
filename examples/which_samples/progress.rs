//! What is seen on a terminal while the program computes.

use std::{error::Error, sync::Mutex};

use burn_curvature::solver::Iteration;
use indicatif::{ProgressBar, ProgressStyle};

#[path = "../support/solve_line.rs"]
mod solve_line;

use solve_line::SolveLine;

/// An observer of solves to a relative residual.
pub fn of_solves(tolerance: f64) -> Result<impl Fn(&Iteration<'_>) + Send, Box<dyn Error>> {
    let line = Mutex::new(SolveLine::new(tolerance)?);
    Ok(move |step: &Iteration<'_>| line.lock().map_or((), |mut line| line.see(step)))
}

/// A progress bar for the given number of digits.
pub fn of_digits(count: usize) -> Result<ProgressBar, Box<dyn Error>> {
    let bar = ProgressBar::new(count as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} digits, {per_sec}, {eta}")?);
    Ok(bar)
}
