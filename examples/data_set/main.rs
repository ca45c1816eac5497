//! Curvature over a data set in mini-batches: the Gauss-Newton matrix of a classifier of handwritten digits, a solve with
//! a line of progress, and what a memory budget changes.
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
#[path = "../../tests/support/random.rs"]
mod random;
#[path = "../support/solve_line.rs"]
mod solve_line;
#[path = "../../tests/support/trained.rs"]
mod trained;

use std::{error::Error, time::Instant};

use burn_curvature::{
    ConjugateGradientConfig, GaussNewton, LinearOperator, LinearSolver, Objective, ParamVector,
    Reduction, Solution, SolveOptions, solver::Iteration,
};
use solve_line::SolveLine;
use trained::{Training, loss};

/// The last batch is smaller: 1297 = 12 · 100 + 97.
const BATCH: usize = 100;
const DAMPING: f64 = 1e-2;
/// Of the residual, relative to the gradient.
const TOLERANCE: f64 = 1e-5;
/// Timed products.
const REPEATS: u32 = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let training = Training { hidden: 24, steps: 120, learning_rate: 0.02, weight_decay: None };
    let trained = training.run()?;

    // One recording for each size of batch: 100 and 97. The mean over batches weighs every image the same.
    let batches = trained.batches(BATCH);
    let objective = Objective::capture(&trained.model, batches[0].clone(), loss)?;
    let risk = objective.over(batches, Reduction::Mean)?;
    let (parameters, count) = (risk.layout().len(), risk.batches());
    println!("{parameters} parameters, {count} batches, loss {:.4}", risk.value()?);
    println!("{:.1} % of other images are classified correctly", 100.0 * trained.accuracy);

    let solution = solve(&risk)?;
    println!("\n[(G + {DAMPING}·I)⁻¹g over batches]\n{}", solution.report);
    compare_budgets(&risk, &solution.x)
}

/// (G + λI)⁻¹g by conjugate gradients, with a line that follows them: residual, rate and time left.
fn solve(risk: &Objective) -> Result<Solution, Box<dyn Error>> {
    let mut line = SolveLine::new(TOLERANCE)?;
    let mut observer = |iteration: &Iteration<'_>| line.see(iteration);
    let options = SolveOptions::new().with_observer(&mut observer);
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(TOLERANCE).init()?;
    let matrix = GaussNewton::new(risk)?.damped(DAMPING)?;
    Ok(solver.solve_with(&matrix, &risk.gradient()?, options)?)
}

/// The part of a product that does not depend on the vector is cached as far as a budget allows: none, half or all of it.
fn compare_budgets(risk: &Objective, v: &ParamVector) -> Result<(), Box<dyn Error>> {
    let whole = GaussNewton::new(&risk.with_memory_budget(usize::MAX))?;
    whole.prepare()?;
    let all = whole.kept_bytes();
    println!("\nmemory budget   kept      milliseconds per product");
    for budget in [0, all / 2, all] {
        let newton = GaussNewton::new(&risk.with_memory_budget(budget))?;
        newton.prepare()?;
        newton.apply(v)?;
        let clock = Instant::now();
        for _ in 0..REPEATS {
            newton.apply(v)?;
        }
        let time = clock.elapsed().as_secs_f64() * 1e3 / f64::from(REPEATS);
        println!("{budget:>13} {:>9} {time:>10.2}", newton.kept_bytes());
    }
    Ok(())
}
