//! Named figures with the ranges they must lie in, and small tables.
#![allow(clippy::print_stdout, reason = "figures are printed")]

use std::{error::Error, ops::RangeInclusive, process::ExitCode};

/// Runs a program that says whether all its figures lie in their ranges.
pub fn exit_code(run: impl FnOnce() -> Result<bool, Box<dyn Error>>) -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Figures in the order they were measured.
#[derive(Default)]
pub struct Figures {
    lines: Vec<(String, f64, RangeInclusive<f64>)>,
}

impl Figures {
    /// Notes a figure and the range it must lie in.
    pub fn expect(&mut self, name: &str, value: f64, range: RangeInclusive<f64>) {
        self.lines.push((name.into(), value, range));
    }

    /// Notes a figure that has no range.
    pub fn note(&mut self, name: &str, value: f64) {
        self.expect(name, value, f64::NEG_INFINITY..=f64::INFINITY);
    }

    /// Prints `name = value` for each, and says whether all lie in their ranges.
    pub fn print(&self) -> bool {
        println!("\nFigures");
        let mut all_right = true;
        for (name, value, range) in &self.lines {
            println!("{name} = {value:.6e}");
            if !range.contains(value) {
                println!("  out of range: expected {:.3e} to {:.3e}", range.start(), range.end());
                all_right = false;
            }
        }
        all_right
    }
}

/// The middle of some values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

/// The largest of some values.
pub fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// How far a vector is from the exact one.
#[derive(Clone, Copy)]
pub struct Comparison {
    /// ‖x − exact‖ / ‖exact‖.
    pub relative_error: f64,
    /// Cosine of the angle between them.
    pub cosine: f64,
}

impl Comparison {
    /// Compares plain numbers.
    pub fn of(x: &[f64], exact: &[f64]) -> Self {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let difference: Vec<f64> = x.iter().zip(exact).map(|(a, b)| a - b).collect();
        let norm = dot(exact, exact).sqrt();
        Self {
            relative_error: dot(&difference, &difference).sqrt() / norm,
            cosine: dot(x, exact) / (dot(x, x).sqrt() * norm),
        }
    }
}
