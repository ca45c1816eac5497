//! What every way gave over all seeds: the table, and the figures in their ranges.

use std::error::Error;

use burn_curvature::{Solution, StopReason};

use super::{
    comparison::{Comparison, largest, median},
    figures::Figures,
    notebook::{SEEDS, Train},
    ways::{Expected, Way},
};

/// The ways whose reports are printed.
const REPORTED: [&str; 6] = [
    "cg_f64",
    "cg_orthogonal_f64",
    "minres_orthogonal_f64",
    "cg_damped_f64",
    "neumann_gauss_newton_f64",
    "neumann_hessian_f64",
];

/// What one way gave over all seeds.
#[derive(Default)]
pub struct Outcomes {
    errors: Vec<f64>,
    cosines: Vec<f64>,
    negative_curvature: usize,
    successes: usize,
    report: String,
}

impl Outcomes {
    /// Compares one seed's solution with the exact one.
    pub fn add(&mut self, solution: &Solution<Train>, truth: &[f64]) -> Result<(), Box<dyn Error>> {
        let comparison = Comparison::of(&solution.x.to_vec()?, truth);
        self.errors.push(comparison.relative_error);
        self.cosines.push(comparison.cosine);
        self.negative_curvature +=
            usize::from(solution.report.stop == StopReason::NegativeCurvature);
        self.successes += usize::from(solution.report.stop.is_success());
        if self.report.is_empty() {
            self.report = solution.report.to_string();
        }
        Ok(())
    }

    /// Notes the figures of a way, and the ranges that they must lie in.
    pub fn judge(&self, way: &Way, figures: &mut Figures) {
        let name = |figure: &str| format!("notebook.{}.{figure}", way.key);
        let seeds = SEEDS as f64;
        let (middle, worst) = (median(&self.errors), largest(&self.errors));
        match way.expected {
            Expected::NegativeCurvature => {
                let count = self.negative_curvature as f64;
                figures.expect(&name("negative_curvature"), count, seeds..=seeds);
                figures.note(&name("error_median"), middle);
                figures.note(&name("cosine_median"), median(&self.cosines));
            }
            Expected::Refusal => {
                figures.expect(&name("refused"), self.negative_curvature as f64, seeds..=seeds);
            }
            Expected::Anything => figures.note(&name("error_largest"), worst),
            Expected::MedianError(low, high) => {
                figures.expect(&name("error_median"), middle, low..=high);
            }
            Expected::LargestError(high) => {
                figures.expect(&name("error_largest"), worst, 0.0..=high);
            }
            Expected::Convergence(high) => {
                figures.expect(&name("converged"), self.successes as f64, seeds..=seeds);
                figures.expect(&name("error_largest"), worst, 0.0..=high);
            }
        }
    }
}

/// Prints a line per way, and some reports in full.
pub fn print_table(ways: &[Way], outcomes: &[Outcomes]) {
    println!("{:<46} {:>10} {:>10} {:>9}  stopped", "H⁻¹∇ℒ by", "error", "largest", "cosine");
    println!(
        "{:<46} {:>10} {:>10} {:>9}  after 40 steps",
        "the notebook, one seed", "0.6924", "", "0.7375"
    );
    for (way, outcome) in ways.iter().zip(outcomes) {
        println!(
            "{:<46} {:>10.1e} {:>10.1e} {:>9}  {} at negative curvature, {} converged",
            way.name,
            median(&outcome.errors),
            largest(&outcome.errors),
            cosine(median(&outcome.cosines)),
            outcome.negative_curvature,
            outcome.successes,
        );
    }
    println!("\nErrors and cosines are medians over the seeds. Reports for the first seed:");
    for (way, outcome) in ways.iter().zip(outcomes).filter(|(way, _)| REPORTED.contains(&way.key)) {
        println!("\n[{}]\n{}", way.name, outcome.report);
    }
}

/// Empty for x = 0, which has no direction.
fn cosine(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { String::new() }
}
