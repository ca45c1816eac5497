//! A convolutional classifier of handwritten digits: trained on mini-batches by K-FAC and by Adam, then a damped
//! Gauss-Newton system of it solved by conjugate gradients, plain and with preconditioners.
//!
//! K-FAC's steps train this network in fewer epochs than Adam. As a preconditioner it does not pay here: blocks of
//! single layers say little about the few large eigenvalues of the whole matrix, which a Nyström approximation finds.
//!
//! Every figure stands on a line `name = value`; the program exits with an error when one leaves its stated range.
#![allow(clippy::print_stdout)]

mod network;
#[path = "../support/mod.rs"]
mod support;
mod training;

use std::{error::Error, process::ExitCode, time::Instant};

use burn::tensor::Device;
use burn_curvature::{
    ConjugateGradientConfig, Ekfac, GaussNewton, Kfac, KfacConfig, Likelihood, LinearOperator,
    NystromConfig, Objective, ParamVector, Reduction, SelfAdjoint, Solution, SolveOptions,
    StopReason,
};

use network::{Network, loss};
use support::{
    digits::Digits,
    figures::{Figures, exit_code},
};
use training::{EPOCHS, OnDevice, Trained, accuracy, batches, by_adam, by_kfac};

const TRAIN: usize = 1297;
const SEEDS: [u64; 3] = [1, 2, 3];
const ADAM_RATES: [f64; 3] = [1e-3, 3e-3, 1e-2];
const DAMPING: f64 = 1e-2;
/// Rank of the Nyström approximation, and so the products it costs.
const RANK: usize = 60;

fn main() -> ExitCode {
    exit_code(run)
}

fn run() -> Result<bool, Box<dyn Error>> {
    let device = Device::default().autodiff();
    let (train, test) = Digits::load()?.split(TRAIN, 1);
    let mut figures = Figures::default();
    let mut last = None;
    for seed in SEEDS {
        let kfac = by_kfac(&train, seed, &device)?;
        if seed == SEEDS[0] {
            println!("method           seed   seconds   loss by epoch             accuracy");
        }
        let adam = ADAM_RATES.map(|rate| by_adam(&train, seed, rate, &device));
        print("K-FAC", seed, &kfac, accuracy(&kfac.model, &test, &device));
        for (rate, run) in ADAM_RATES.iter().zip(&adam) {
            let name = format!("Adam, rate {rate}");
            print(&name, seed, run, accuracy(&run.model, &test, &device));
        }
        let share = accuracy(&kfac.model, &test, &device);
        figures.expect(&format!("kfac.{seed}.accuracy"), share, 0.9..=1.0);
        let end = |run: &Trained| run.losses.last().copied().unwrap_or(f64::NAN);
        let best = adam.iter().map(end).fold(f64::INFINITY, f64::min);
        figures.note(&format!("adam.{seed}.loss"), best);
        // The best of three rates of Adam.
        figures.expect(&format!("kfac.{seed}.loss"), end(&kfac), 0.0..=best);
        figures.note(&format!("kfac.{seed}.seconds"), kfac.time.as_secs_f64());
        figures.note(&format!("adam.{seed}.seconds"), adam[0].time.as_secs_f64());
        last = Some(kfac.model);
    }
    let model = last.ok_or("no network was trained")?;
    solve(&model, &train, &mut figures)?;
    Ok(figures.print())
}

fn print(name: &str, seed: u64, run: &Trained, accuracy: f64) {
    let losses: Vec<String> =
        run.losses.iter().take(EPOCHS).map(|loss| format!("{loss:.3}")).collect();
    println!(
        "{name:16} {seed:4}   {:7.2}   {:24}  {accuracy:.4}",
        run.time.as_secs_f64(),
        losses.join(" ")
    );
}

/// (G + λI)⁻¹∇ℒ over all batches: steps of conjugate gradients without and with a preconditioner.
fn solve(model: &Network, train: &Digits, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let device = Device::default().autodiff();
    let parts = batches(train, 1, &device);
    let objective: Objective<OnDevice> = Objective::trace(model, parts[0].clone(), loss)?;
    let risk = objective.over(parts, Reduction::Mean)?;
    let damped = GaussNewton::new(&risk)?.damped(DAMPING)?;
    let gradient = risk.gradient()?;
    let (likelihood, config) = (Likelihood::Categorical, KfacConfig::new());
    let kfac = Kfac::new(&risk, likelihood, Reduction::Mean, &config)?;
    let ekfac = Ekfac::from_kfac(&kfac, &risk, likelihood, Reduction::Mean, &config)?;
    println!("\n{}", kfac.coverage());

    let nystrom =
        NystromConfig::new(RANK, DAMPING).init()?.approximate(&damped)?.preconditioner()?;
    let plain = solved("plain", &damped, &gradient, None)?;
    figures.note("cg.plain.steps", plain.report.iterations as f64);
    let (kfac, ekfac) = (kfac.factored_inverse(DAMPING)?, ekfac.inverse(DAMPING)?);
    let preconditioners: [(&str, &dyn SelfAdjoint<OnDevice>); 3] =
        [("kfac", &kfac), ("ekfac", &ekfac), ("nystrom", &nystrom)];
    for (name, inverse) in preconditioners {
        let solution = solved(name, &damped, &gradient, Some(inverse))?;
        let (steps, of_plain) = (solution.report.iterations, plain.report.iterations);
        figures.note(&format!("cg.{name}.steps"), steps as f64);
        let difference = solution.x.sub(&plain.x)?.norm()? / plain.x.norm()?;
        figures.expect(&format!("cg.{name}.difference"), difference, 0.0..=1e-2);
        if name == "nystrom" {
            let ratio = of_plain as f64 / steps as f64;
            figures.expect("cg.nystrom.ratio", ratio, 2.0..=f64::INFINITY);
        }
    }
    Ok(())
}

fn solved(
    name: &str,
    operator: &dyn SelfAdjoint<OnDevice>,
    b: &ParamVector<OnDevice>,
    inverse: Option<&dyn SelfAdjoint<OnDevice>>,
) -> Result<Solution<OnDevice>, Box<dyn Error>> {
    let solver = ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-4)
        .with_max_iterations(Some(2000))
        .init()?;
    let options = match inverse {
        Some(inverse) => SolveOptions::new().with_preconditioner(inverse),
        None => SolveOptions::new(),
    };
    let clock = Instant::now();
    let solution = solver.solve_with(operator, b, options)?;
    let report = &solution.report;
    println!(
        "{name:14} {:4} steps, {:.3} s, relative residual {:.2e}",
        report.iterations,
        clock.elapsed().as_secs_f64(),
        report.relative_residual
    );
    match report.stop {
        StopReason::Converged => Ok(solution),
        other => Err(format!("{name} stopped with {other:?}").into()),
    }
}
