//! Named figures with the ranges they must lie in.
#![allow(clippy::print_stdout, reason = "figures are printed")]

use std::ops::RangeInclusive;

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
