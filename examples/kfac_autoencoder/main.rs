//! K-FAC against first-order methods on a deep autoencoder of handwritten digits, 64-48-24-12-6-12-24-48-64, over three
//! starting points. Drawn to `target/kfac_autoencoder.svg`.
//!
//! Every figure stands on a line `name = value`; the program exits with an error when one leaves its stated range.
#![allow(clippy::print_stdout)]

mod network;
#[path = "../support/page.rs"]
mod page;
mod picture;
#[path = "../support/mod.rs"]
mod support;
mod training;

use std::{error::Error, process::ExitCode};

use burn::tensor::Device;

use picture::Curves;
use support::{
    digits::Digits,
    figures::{Figures, exit_code},
};
use training::{Run, by_adam, by_kfac, by_nesterov};

const IMAGES: usize = 1500;
const SEEDS: [u64; 3] = [1, 2, 3];
const NESTEROV_RATES: [f64; 4] = [0.005, 0.01, 0.02, 0.05];
const ADAM_RATES: [f64; 2] = [3e-3, 1e-2];
/// Steps K-FAC may take.
const LIMIT: usize = 180;
/// First-order methods are stopped after so many times the steps that K-FAC took.
const TIMES: usize = 10;

fn main() -> ExitCode {
    exit_code(run)
}

fn run() -> Result<bool, Box<dyn Error>> {
    let device = Device::default().autodiff();
    let (digits, _) = Digits::load()?.split(IMAGES, 1);
    let images = digits.images(&device);
    let mut figures = Figures::default();
    let (mut kfac, mut nesterov, mut adam) = (Vec::new(), Vec::new(), Vec::new());
    println!("method                 seed   steps    seconds   squared error");
    for seed in SEEDS {
        let ours = by_kfac(&images, seed, LIMIT)?;
        let limit = TIMES * ours.errors.len();
        let first = NESTEROV_RATES.map(|rate| by_nesterov(&images, seed, rate, limit));
        let second = ADAM_RATES.map(|rate| by_adam(&images, seed, rate, limit));
        for run in [&ours].into_iter().chain(&first).chain(&second) {
            print(run, seed);
        }
        let (first, second) = (best(first), best(second));
        compare(&mut figures, seed, &ours, [&first, &second]);
        kfac.push(ours);
        nesterov.push(first);
        adam.push(second);
    }
    for (name, runs) in [("nesterov", &nesterov), ("adam", &adam)] {
        compare_times(&mut figures, name, runs, &kfac);
    }
    let curves = [
        Curves { method: "Nesterov, best of four rates", color: "#1a63a8", runs: &nesterov },
        Curves { method: "Adam, best of two rates", color: "#468c46", runs: &adam },
        Curves { method: "K-FAC", color: "#cc4422", runs: &kfac },
    ];
    println!("drawn: {}", picture::draw(&curves)?.display());
    Ok(figures.print())
}

fn print(run: &Run, seed: u64) {
    println!(
        "{:22} {seed:4}   {:>5}   {:8.3}   {:.4}",
        run.name,
        run.steps().map_or("-".into(), |steps| steps.to_string()),
        run.time.as_secs_f64(),
        run.last()
    );
}

/// The run with the fewest steps to the goal, or with the smallest error at the end.
fn best<const N: usize>(runs: [Run; N]) -> Run {
    let order = |run: &Run| (run.steps().unwrap_or(usize::MAX), run.last());
    let best = runs.into_iter().min_by(|a, b| {
        let (a, b) = (order(a), order(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    best.expect("at least one run")
}

fn compare(figures: &mut Figures, seed: u64, kfac: &Run, others: [&Run; 2]) {
    let steps = kfac.steps().map_or(f64::INFINITY, |steps| steps as f64);
    figures.expect(&format!("kfac.{seed}.steps"), steps, 1.0..=LIMIT as f64);
    figures.note(&format!("kfac.{seed}.seconds"), kfac.time.as_secs_f64());
    for (name, run) in ["nesterov", "adam"].into_iter().zip(others) {
        // A run that was stopped took at least as many steps as it was given, and as much time.
        let taken = run.steps().unwrap_or(run.errors.len()) as f64;
        figures.note(&format!("{name}.{seed}.steps"), taken);
        figures.note(&format!("{name}.{seed}.seconds"), run.time.as_secs_f64());
        figures.expect(&format!("{name}.{seed}.steps_ratio"), taken / steps, 8.0..=f64::INFINITY);
        figures.note(&format!("{name}.{seed}.time_ratio"), time_ratio(run, kfac));
    }
}

/// The middle of the seeds must take less time: one may fall into a slow spell of the machine.
fn compare_times(figures: &mut Figures, name: &str, runs: &[Run], kfac: &[Run]) {
    let mut ratios: Vec<f64> = runs.iter().zip(kfac).map(|(a, b)| time_ratio(a, b)).collect();
    ratios.sort_by(f64::total_cmp);
    let name = format!("{name}.time_ratio");
    figures.expect(&name, ratios[ratios.len() / 2], 1.0..=f64::INFINITY);
}

fn time_ratio(run: &Run, kfac: &Run) -> f64 {
    run.time.as_secs_f64() / kfac.time.as_secs_f64()
}
